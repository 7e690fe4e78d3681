"""A prediction, decoded quickly, and what is checked of many predictions at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from vclr.coco.annotations import to_rle
from vclr.coco.checks import MAX_COORDINATE, Json
from vclr.coco.rle import count_pixels

Size = tuple[int, int]  # height, width

FEW = 500  # masks whose run lengths are counted at once: with more, the arrays outgrow the CPU's cache


class Rle(msgspec.Struct):
    """Run lengths of a mask: (height, width), and compressed counts, or the lengths themselves."""

    size: Size
    counts: str | list[int]


class Prediction(msgspec.Struct):
    """A prediction: its image, its score, a box (xywh absolute) or a mask or both, and a category."""

    image_id: int | str
    score: float
    bbox: tuple[float, float, float, float] | None = None
    segmentation: Rle | list[list[float]] | None = None
    category_id: int = None  # type: ignore[assignment]  # until `complete`; null is refused

    def to_rle(self, size: Size) -> Json:
        """Return the mask as compressed RLE of pycocotools."""
        mask = self.segmentation
        if isinstance(mask, Rle):
            return to_rle({"size": [*mask.size], "counts": mask.counts}, *size)
        return to_rle(mask, *size)

    def complete(self, size: Size) -> Prediction:
        """Return the prediction with a box, which is taken from the mask if it is missing, and with a category."""
        if self.category_id is None:
            self.category_id = 1
        if self.segmentation == []:
            self.segmentation = None  # data sets of boxes write it like this
        if self.bbox is None:
            self.bbox = tuple(coco_mask.toBbox(self.to_rle(size)).tolist())
        return self


_decode = msgspec.json.Decoder(list[Prediction]).decode


def decode(text: bytes) -> list[Prediction] | None:
    """Decode predictions with commas between them; return None if this decoder cannot, or if it may hide an error."""
    try:
        return _decode(b"[" + text + b"]") if text.isascii() else None
    except (msgspec.DecodeError, RecursionError):
        return None


def as_prediction(found: Json) -> Prediction:
    """Return a prediction as `PredictionChecks.check` returned it, or as the detector makes it, in its own class."""
    mask = found.get("segmentation")
    if isinstance(mask, dict):
        mask = Rle(tuple(mask["size"]), mask["counts"])
    return Prediction(found["image_id"], found["score"], tuple(found["bbox"]), mask, found["category_id"])


def normalize(prediction: Json, size: Size) -> Json:
    """Return the parts of a valid prediction that count; a missing box is taken from the mask."""
    box, segmentation = prediction.get("bbox"), prediction.get("segmentation")
    if segmentation == []:
        segmentation = None  # data sets of boxes write it like this
    if box is None:
        box = coco_mask.toBbox(to_rle(segmentation, *size)).tolist()
    kept = {"image_id": prediction["image_id"], "category_id": int(prediction.get("category_id", 1))}
    return {**kept, "score": prediction["score"], "bbox": box, "segmentation": segmentation}


def are_boxes(boxes: Sequence[tuple[float, ...]]) -> bool:
    """Tell whether `check_box` accepts all of them."""
    numbers = np.array(boxes, float).reshape(-1, 4)
    return bool((np.abs(numbers) <= MAX_COORDINATE).all() and (numbers[:, 2:] >= 0).all())


def are_inside(boxes: Sequence[Sequence[float]], sizes: list[Size]) -> bool:
    """Tell whether no box lies outside of its image."""
    x, y, w, h = np.array(boxes, float).reshape(-1, 4).T
    height, width = np.array(sizes, float).reshape(-1, 2).T
    return bool(((x <= width) & (y <= height) & (x + w >= 0) & (y + h >= 0)).all())


def are_masks(masks: list[Any], sizes: list[Size]) -> bool:
    """Tell whether all are compressed run lengths, each as long as its image is large."""
    for mask, size in zip(masks, sizes, strict=True):
        if type(mask) is not Rle or type(mask.counts) is not str or mask.size != size:
            return False
    for first in range(0, len(masks), FEW):
        part = slice(first, first + FEW)
        pixels = count_pixels([mask.counts for mask in masks[part]])
        if (pixels != [height * width for height, width in sizes[part]]).any():
            return False
    return True
