"""Object proposals of an unsupervised method join the known annotations, all as one class (paper section 3.2)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vclr.coco.annotations import Json, load_coco
from vclr.coco.top_proposals import choose_proposals, read_score
from vclr.errors import UserError


def add_proposals(coco: Json, path: str | Path, top_k: int, max_iou: float) -> Json:
    """Return the annotations with each image's `top_k` best proposals that are not annotated objects already.

    Args:
        coco: the known annotations.
        path: COCO json of proposals, each with a `score`; its images are found by file name.
        top_k: proposals taken of an image.
        max_iou: box IoU with an annotation, or with a better proposal, above which a proposal is left out.

    Raises:
        UserError: a proposal without a score, or a photo that the two files have in two sizes.
    """
    proposals = load_coco(path)
    names = {image["id"]: image["file_name"] for image in proposals["images"]}
    sizes = {image["file_name"]: (image["width"], image["height"]) for image in proposals["images"]}
    by_name: dict[str, list[Json]] = {}
    for position, proposal in enumerate(proposals["annotations"]):
        read_score(proposal.get("score"), f"{path}: annotations[{position}] (id {proposal['id']})")
        by_name.setdefault(names[proposal["image_id"]], []).append(proposal)
    known: dict[int, list[Json]] = {}
    for annotation in coco["annotations"]:
        known.setdefault(annotation["image_id"], []).append(annotation)
    category = coco["categories"][0]["id"]
    added: list[Json] = []
    for image in coco["images"]:
        size = image["width"], image["height"]
        if sizes.get(image["file_name"], size) != size:
            has = "x".join(map(str, sizes[image["file_name"]]))
            raise UserError(f"{path}: {image['file_name']} is {has}, the annotations have it as {size[0]}x{size[1]}")
        candidates = by_name.get(image["file_name"], [])
        scores = np.array([proposal["score"] for proposal in candidates], dtype=np.float64)
        chosen = choose_proposals(_boxes(candidates), scores, _boxes(known.get(image["id"], [])), top_k, max_iou)
        for proposal in (candidates[number] for number in chosen):
            added.append({**proposal, "id": f"proposal-{len(added)}", "image_id": image["id"], "category_id": category})
    return {**coco, "annotations": coco["annotations"] + added}


def _boxes(annotations: list[Json]) -> np.ndarray:
    return np.array([annotation["bbox"] for annotation in annotations], dtype=np.float64).reshape(-1, 4)
