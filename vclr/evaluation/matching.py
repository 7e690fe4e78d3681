"""Match the detections in an image with its objects as pycocotools does, at many thresholds and size ranges at once."""

from __future__ import annotations

import numpy as np


def match(
    ious: np.ndarray, is_crowd: np.ndarray, is_ignored: np.ndarray, thresholds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Match detections, best first, with the object that each overlaps most.

    An object has at most one detection, a crowd any number. A detection gets an ignored object only if it fits no
    other. Among objects that it overlaps equally, it gets the last one.

    Args:
        ious: (d, n) IoUs of detections, best first, and objects.
        is_crowd: (n,) whether an object is a crowd.
        is_ignored: (a, n) whether an object is ignored in a size range; crowds always are.
        thresholds: (t,) minimum IoUs.

    Returns:
        (a, t, d) whether a detection has an object, and whether it has one that is ignored.
    """
    num_detections, num_objects = ious.shape
    shape = len(is_ignored), len(thresholds)
    is_matched, has_ignored = (np.zeros((*shape, num_detections), bool) for _ in range(2))
    if not num_objects:
        return is_matched, has_ignored
    is_taken = np.zeros((*shape, num_objects), bool)
    ignored = is_ignored[:, None, :]
    ranges, levels = np.indices(shape, sparse=True)
    for detection in np.flatnonzero(ious.max(axis=1) >= thresholds.min()):
        fits = ~is_taken & (ious[detection] >= thresholds[:, None])
        counts = fits & ~ignored
        candidates = np.where(counts.any(axis=-1, keepdims=True), counts, fits)
        overlaps = np.where(candidates, ious[detection], -1.0)
        best = num_objects - 1 - overlaps[..., ::-1].argmax(axis=-1)
        found = candidates.any(axis=-1)
        is_matched[..., detection] = found
        has_ignored[..., detection] = found & is_ignored[ranges, best]
        is_taken[ranges, levels, best] |= found & ~is_crowd[best]
    return is_matched, has_ignored
