"""Object proposals of an unsupervised method join the known annotations, all as one class (paper section 3.2)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vclr.coco.annotations import Json, load_coco
from vclr.coco.same_images import match_images, warn_of_missing
from vclr.object_proposals.choose import choose_proposals, read_score


def add_proposals(
    coco: Json, path: str | Path, top_k: int, max_iou: float, annotations: str | Path = "the annotations"
) -> Json:
    """Return the annotations with each image's `top_k` best proposals that are not annotated objects already.

    Args:
        coco: the known annotations.
        path: COCO json of proposals, each with a `score`; its images are found by file name.
        top_k: proposals taken of an image.
        max_iou: box IoU with an annotation, or with a better proposal, above which a proposal is left out.
        annotations: what errors call the file of the known annotations.

    Raises:
        UserError: a proposal without a score, a photo that the two files have in two sizes, or no photo in common.
    """
    proposals = load_coco(path)
    same = match_images(proposals["images"], path, coco["images"], annotations)
    warn_of_missing(same, path, len(coco["images"]), annotations)
    by_image: dict[int, list[Json]] = {}
    for position, proposal in enumerate(proposals["annotations"]):
        read_score(proposal.get("score"), f"{path}: annotations[{position}] (id {proposal['id']})")
        for place in same.positions.get(proposal["image_id"], ()):
            by_image.setdefault(place, []).append(proposal)
    known: dict[int, list[Json]] = {}
    for annotation in coco["annotations"]:
        known.setdefault(annotation["image_id"], []).append(annotation)
    category = coco["categories"][0]["id"] if coco["categories"] else 0
    added: list[Json] = []
    for place, image in enumerate(coco["images"]):
        candidates = by_image.get(place, [])
        scores = np.array([proposal["score"] for proposal in candidates], dtype=np.float64)
        chosen = choose_proposals(_boxes(candidates), scores, _boxes(known.get(image["id"], [])), top_k, max_iou)
        for proposal in (candidates[number] for number in chosen):
            added.append({**proposal, "id": f"proposal-{len(added)}", "image_id": image["id"], "category_id": category})
    return {**coco, "annotations": coco["annotations"] + added}


def _boxes(annotations: list[Json]) -> np.ndarray:
    return np.array([annotation["bbox"] for annotation in annotations], dtype=np.float64).reshape(-1, 4)
