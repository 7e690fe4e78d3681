"""Proposals joined to annotations: as the package does it, and by a second, slow implementation of the rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vclr.coco.annotations import load_coco
from vclr.object_proposals.join import choose_from_file

Json = dict[str, Any]


def boxes_of(annotations: list[Json]) -> np.ndarray:
    return np.array([annotation["bbox"] for annotation in annotations], dtype=np.float64).reshape(-1, 4)


def of_image(coco: Json, image: Json) -> list[Json]:
    return [annotation for annotation in coco["annotations"] if annotation["image_id"] == image["id"]]


def add_proposals(coco: Json, path: Path, top_k: int, max_iou: float, annotations: str = "the annotations") -> Json:
    """Join proposals to annotations as a training does."""
    known = (boxes_of(of_image(coco, image)) for image in coco["images"])
    chosen = choose_from_file(path, coco["images"], known, top_k, annotations, max_iou)
    first = 1 + max(annotation["id"] for annotation in coco["annotations"])
    return {**coco, "annotations": [*coco["annotations"], *chosen.read(first)]}


def add_slowly(coco: Json, path: Path, top_k: int, max_iou: float) -> Json:
    """Join proposals to annotations by the rule as the paper says it, box by box."""
    proposals, added = load_coco(path), []
    ids = {image["file_name"]: image["id"] for image in proposals["images"]}
    for image in coco["images"]:
        candidates = [item for item in proposals["annotations"] if item["image_id"] == ids.get(image["file_name"])]
        taken = boxes_of(of_image(coco, image)).tolist()
        chosen: list[Json] = []
        for item in sorted(candidates, key=lambda item: (-item["score"], *item["bbox"])):
            if len(chosen) < top_k and all(iou(item["bbox"], box) <= max_iou for box in taken):
                chosen.append({**item, "image_id": image["id"]})
                taken.append(item["bbox"])
        added += chosen
    return {**coco, "annotations": coco["annotations"] + added}


def iou(first: list[float], second: list[float]) -> float:
    sides = [
        min(first[axis] + first[axis + 2], second[axis] + second[axis + 2]) - max(first[axis], second[axis])
        for axis in (0, 1)
    ]
    shared = max(0.0, sides[0]) * max(0.0, sides[1])
    return shared / (first[2] * first[3] + second[2] * second[3] - shared)
