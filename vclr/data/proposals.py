"""Object proposals of an unsupervised method join the known annotations, all as one class (paper section 3.2)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from vclr.coco import Json, load_coco
from vclr.errors import UserError


def add_proposals(coco: Json, path: str | Path, top_k: int, max_iou: float) -> Json:
    """Return the annotations with each image's `top_k` best proposals that are not annotated objects already.

    Args:
        coco: the known annotations.
        path: COCO json of proposals, each with a `score`; its images are found by file name.
        top_k: proposals taken of an image.
        max_iou: box IoU with an annotation, or with a better proposal, above which a proposal is left out.

    Raises:
        UserError: a proposal without a score.
    """
    proposals = load_coco(path)
    names = {image["id"]: image["file_name"] for image in proposals["images"]}
    by_name: dict[str, list[Json]] = {}
    for proposal in proposals["annotations"]:
        if not isinstance(proposal.get("score"), (int, float)):
            raise UserError(f"{path}: annotation {proposal['id']} has no `score`")
        by_name.setdefault(names[proposal["image_id"]], []).append(proposal)
    known: dict[int, list[Json]] = {}
    for annotation in coco["annotations"]:
        known.setdefault(annotation["image_id"], []).append(annotation)
    category = coco["categories"][0]["id"]
    added: list[Json] = []
    for image in coco["images"]:
        ranked = sorted(by_name.get(image["file_name"], []), key=lambda proposal: -proposal["score"])
        taken = [annotation["bbox"] for annotation in known.get(image["id"], [])]
        num_known = len(taken)
        for proposal in ranked:
            if len(taken) - num_known == top_k:
                break
            if taken and _max_iou(proposal["bbox"], taken) > max_iou:
                continue
            taken.append(proposal["bbox"])
            added.append({**proposal, "id": f"proposal-{len(added)}", "image_id": image["id"], "category_id": category})
    return {**coco, "annotations": coco["annotations"] + added}


def _max_iou(box: list[float], others: list[list[float]]) -> float:
    ious = coco_mask.iou(np.array([box], dtype=np.float64), np.array(others, dtype=np.float64), [0] * len(others))
    return float(ious.max())
