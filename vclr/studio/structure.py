"""How much structure a view keeps: its edges against those of the photo, and against the outlines of the masks.

Two sets of boundaries agree as in the Berkeley benchmark (Martin, Fowlkes and Malik, 2004): precision and recall of
pixels that lie within 0.75 % of the image's diagonal of the other set. As in DAVIS (Perazzi et al., 2016), a pixel may
match several: the benchmark's own matching, one to one, takes a hundred times as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

TOLERANCE = 0.0075  # share of the diagonal; at least one pixel


class Agreement(NamedTuple):
    """How two sets of boundaries agree, each from 0 to 1: the F-measure, and the share of the second that is found."""

    f_measure: float
    recall: float


class Boundaries:
    """Boundaries in an image, ready to be compared with others, also with those of an image of another size."""

    def __init__(self, pixels: np.ndarray) -> None:
        """Take the pixels (h, w) bool that are a boundary."""
        height, width = pixels.shape
        reach = max(1.0, TOLERANCE * float(np.hypot(height, width)))
        # Without any pixel, the distance transform would measure from outside of the image.
        self._near = ndimage.distance_transform_edt(~pixels) <= reach if pixels.any() else np.zeros_like(pixels)
        self._places = ((np.argwhere(pixels) + 0.5) / (height, width)).astype(np.float32)

    def __len__(self) -> int:
        return len(self._places)

    def agreement(self, other: Boundaries) -> Agreement:
        """Compare with the boundaries that should be found; two empty sets agree, an empty one with no other."""
        if not len(self) or not len(other):
            value = float(len(self) == len(other))
            return Agreement(value, value)
        precision, recall = _share_near(self, other), _share_near(other, self)
        total = precision + recall
        return Agreement(2 * precision * recall / total if total else 0.0, recall)


def _share_near(these: Boundaries, others: Boundaries) -> float:
    """Return the share of some boundary pixels that are near one of the others."""
    rows, columns = (these._places * others._near.shape).astype(np.int64).T
    return float(others._near[rows, columns].mean())


def mask_outlines(masks: Iterable[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Return the outlines (h, w) of masks (h, w): their pixels that touch the outside; an image's border is none."""
    outlines = np.zeros(size, bool)
    for mask in masks:
        outlines |= mask & ~ndimage.binary_erosion(mask, border_value=1)
    return outlines


def rank_of_own(view: Boundaries, own: float, others: Sequence[Boundaries]) -> float | None:
    """Return the share of other photos that a view's edges fit worse than its own photo; None without other photos.

    A tie counts half, so a view of any other photo has 0.5 on average, and so has an empty one.

    Args:
        view: edges of the view.
        own: their F-measure against its own photo.
        others: edges of other photos.
    """
    if not others:
        return None
    found = [view.agreement(other).f_measure for other in others]
    return sum((own > value) + (own == value) / 2 for value in found) / len(found)
