"""Which of many predictions a picture shows: the best ones, each object once; and the picture."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from vclr.coco.annotations import Json
from vclr.drawing import draw_objects, shrink_mask
from vclr.structures import Predictions

MAX_IOU = 0.5  # of two masks that are both drawn
MAX_INSIDE = 0.5  # share of the smaller one that may lie within the larger one
OPACITY, LINE = 0.3, 1 / 220  # of the objects that are drawn: the photo stays visible
SIDE = 384  # pixels of the longer side at which masks are compared


def choose_shown(found: Predictions, min_score: float, max_objects: int) -> list[int]:
    """Choose predictions to draw, best first.

    The suppression within the detector keeps everything that helps recall: an object, its parts, and groups of objects.
    Of masks that overlap, or that lie within each other, only the best is drawn.

    Args:
        found: sorted by score.
        min_score: minimum score.
        max_objects: maximum number of predictions.

    Returns:
        Indices into `found`.
    """
    chosen: list[int] = []
    kept: list[Any] = []
    for index, score in enumerate(found.scores):
        if len(chosen) >= max_objects or not score >= min_score:
            break
        mask = _comparable(found, index)
        if mask is not None and not (kept and _shows_one_of(mask, kept)):
            chosen.append(index)
            kept.append(mask)
    return chosen


class _Encoded(NamedTuple):
    """A mask that is not painted, its number of pixels, and the box around them."""

    rle: Json
    area: int
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Encoded) -> bool:
        """Tell whether the boxes overlap; if not, the masks need not be compared."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def _comparable(found: Predictions, index: int) -> Any:
    """Return a mask as `_shows_one_of` compares it, a small array or an `_Encoded`; None if it is empty."""
    if found.encoded_masks is not None:
        rle = found.encoded_masks[index]
        area = int(coco_mask.area(rle))
        left, top, width, height = coco_mask.toBbox(rle).tolist()
        return _Encoded(rle, area, left, top, left + width, top + height) if area else None
    step = max(1, max(found.masks.shape[1:], default=1) // SIDE)
    mask = np.asarray(found.masks[index])
    return mask[::step, ::step] if mask.any() else None


def _shows_one_of(mask: Any, others: list[Any]) -> bool:
    if isinstance(mask, np.ndarray):
        return any(_show_the_same(mask, other) for other in others)
    near = [other for other in others if mask.meets(other)]
    if not near:
        return False
    areas = np.array([other.area for other in near], np.float64)
    # The share of each other one that lies in it.
    inside = coco_mask.iou([other.rle for other in near], [mask.rle], [1])[:, 0]
    common = np.rint(inside * areas)
    return bool((common > MAX_IOU * (mask.area + areas - common)).any()) or bool(
        (common > MAX_INSIDE * np.minimum(mask.area, areas)).any()
    )


def _show_the_same(mask: np.ndarray, other: np.ndarray) -> bool:
    common = int(np.count_nonzero(mask & other))
    areas = int(np.count_nonzero(mask)), int(np.count_nonzero(other))
    return common > MAX_IOU * (sum(areas) - common) or common > MAX_INSIDE * max(1, min(areas))


def draw_shown(picture: np.ndarray, found: Predictions, shown: list[int]) -> np.ndarray:
    """Draw the chosen predictions, as `draw_objects` does. Masks are in memory one by one at their own size.

    Args:
        picture: (h, w, 3) uint8, the photo or a smaller copy.
        found: the predictions.
        shown: the result of `choose_shown`.
    """
    small = picture.shape[0], picture.shape[1]
    return draw_masks(picture, [shrink_mask(found.mask(index), small) for index in reversed(shown)])


def draw_masks(picture: np.ndarray, masks: list[np.ndarray]) -> np.ndarray:
    """Draw (h, w) masks on a picture of their size, the weakest first."""
    return draw_objects(picture, masks, opacity=OPACITY, line=LINE)
