"""Which of many predictions a picture shows: the best ones, each object once."""

from __future__ import annotations

import numpy as np

from vclr.structures import Predictions

MAX_IOU = 0.5  # of two masks that are both drawn
MAX_INSIDE = 0.5  # share of the smaller one that may lie within the larger one
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
    step = max(1, max(found.masks.shape[1:], default=1) // SIDE)
    chosen: list[int] = []
    kept: list[np.ndarray] = []
    for index, score in enumerate(found.scores):
        if len(chosen) >= max_objects or not score >= min_score:
            break
        mask = np.asarray(found.masks[index])
        small = mask[::step, ::step]
        if mask.any() and not any(_show_the_same(small, other) for other in kept):
            chosen.append(index)
            kept.append(small)
    return chosen


def _show_the_same(mask: np.ndarray, other: np.ndarray) -> bool:
    common = int(np.count_nonzero(mask & other))
    areas = int(np.count_nonzero(mask)), int(np.count_nonzero(other))
    return common > MAX_IOU * (sum(areas) - common) or common > MAX_INSIDE * max(1, min(areas))
