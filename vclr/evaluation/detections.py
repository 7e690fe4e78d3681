"""The best predictions for an image, their outlines, and how much these overlap annotated objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from vclr.coco.annotations import Json, box_polygon, to_rle
from vclr.coco.prediction import Prediction, Size


def best_first(predictions: list[Prediction], count: int) -> list[Prediction]:
    """Return the best predictions, best first. Between equals, category and order decide."""
    ordered = sorted(predictions, key=lambda prediction: prediction.category_id)
    scores = np.array([prediction.score for prediction in ordered], float)
    return [ordered[place] for place in np.argsort(-scores, kind="stable")[:count].tolist()]


def outline_found(kind: str, found: list[Prediction], size: Size) -> Any:
    """Return the boxes (d, 4), or the masks as compressed RLE."""
    if kind == "box":
        return np.array([one.bbox for one in found], float)
    return [one.to_rle(size) for one in found]


def outline_objects(kind: str, annotations: list[Json], size: Size) -> list[Any]:
    """Return the boxes, or the masks as compressed RLE; without a mask, it is the filled box."""
    if kind == "box":
        return [one["bbox"] for one in annotations]
    return [to_rle(one.get("segmentation") or [box_polygon(one["bbox"])], *size) for one in annotations]


def overlap(detections: Any, objects: list[Any], is_crowd: np.ndarray) -> np.ndarray:
    """Return the IoUs (d, n) of boxes or masks; of a crowd, the share of the detection that lies in it."""
    if not len(detections) or not objects:
        return np.zeros((len(detections), len(objects)))
    things: Any = np.array(objects, float) if isinstance(detections, np.ndarray) else objects
    return np.asarray(coco_mask.iou(detections, things, is_crowd.astype(np.uint8).tolist()))
