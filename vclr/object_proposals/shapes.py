"""How much proposals overlap each other and annotated objects: by their masks if both have one, else by their boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from vclr.coco.annotations import Json, to_rle
from vclr.coco.prediction import Prediction, Size


@dataclass
class Shapes:
    """Objects of an image: (n, 4) boxes [x, y, width, height], and for each its mask as compressed RLE, or None."""

    boxes: np.ndarray
    masks: list[Json | None]

    def __len__(self) -> int:
        return len(self.masks)


def shapes_of(found: Sequence[Prediction], size: Size) -> Shapes:
    """Return the shapes of proposals."""
    boxes = np.array([one.bbox for one in found], dtype=np.float64).reshape(-1, 4)
    return Shapes(boxes, [None if one.segmentation is None else one.to_rle(size) for one in found])


def shapes_of_annotations(annotations: Sequence[Json], size: Size) -> Shapes:
    """Return the shapes of annotations."""
    boxes = np.array([one["bbox"] for one in annotations], dtype=np.float64).reshape(-1, 4)
    shapes = (one.get("segmentation") for one in annotations)
    return Shapes(boxes, [to_rle(shape, *size) if shape else None for shape in shapes])


def overlap(first: Shapes, second: Shapes) -> np.ndarray:
    """Return (n, m) the IoU of the masks of each pair, or of its boxes if one of them has no mask."""
    if not len(first) or not len(second):
        return np.zeros((len(first), len(second)))
    ious = _iou(first.boxes, second.boxes)
    rows, columns = (np.flatnonzero([mask is not None for mask in one.masks]) for one in (first, second))
    if len(rows) and len(columns):
        some, others = ([one.masks[place] for place in places] for one, places in ((first, rows), (second, columns)))
        ious[np.ix_(rows, columns)] = _iou(some, others)
    return ious


def _iou(first: Any, second: Any) -> np.ndarray:
    return np.array(coco_mask.iou(first, second, [0] * len(second)), dtype=np.float64)
