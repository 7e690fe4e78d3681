"""Match the detections in an image with its objects as pycocotools does, at many thresholds and size ranges at once.

faster-coco-eval 1.8 counts in C++ and agrees with pycocotools, but it gives back only the accumulated figures of a whole
data set, which it needs in memory; its IoUs are equal, and take longer than pycocotools'. Few detections overlap an
object enough for any threshold, so a loop over these pairs alone, with bits for thresholds and size ranges, is as fast.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Matches(NamedTuple):
    """The detections that have an object at some threshold in some size range.

    Attributes:
        places: (k,) which detections these are, in ascending order.
        is_true: (a, t, k) whether each has an object that counts.
        is_neither: (a, t, k) whether each has an ignored object.
    """

    places: np.ndarray
    is_true: np.ndarray
    is_neither: np.ndarray


def match(ious: np.ndarray, is_crowd: np.ndarray, is_ignored: np.ndarray, thresholds: np.ndarray) -> Matches:
    """Match detections, best first, with the object that each overlaps most.

    An object has at most one detection, a crowd any number. A detection gets an ignored object only if it fits no
    other. Among objects that it overlaps equally, it gets the last one.

    Args:
        ious: (d, n) IoUs of detections, best first, and objects.
        is_crowd: (n,) whether an object is a crowd.
        is_ignored: (a, n) whether an object is ignored in a size range; crowds always are.
        thresholds: (t,) minimum IoUs, ascending.
    """
    shape = len(is_ignored), len(thresholds)  # each pair of range and threshold is a bit: range * t + threshold
    free = [(1 << shape[0] * shape[1]) - 1] * len(is_crowd)
    counts, is_crowd_list = _bits_of_ranges(~is_ignored, shape[1]), is_crowd.tolist()
    places: list[int] = []
    true: list[int] = []
    neither: list[int] = []
    for detection, candidates in _group(ious, thresholds, shape[0]):
        is_open, bits = -1, [0, 0]
        for which in (0, 1):  # objects that count, then ignored ones
            for thing, fits in candidates:
                found = is_open & fits & free[thing] & (~counts[thing] if which else counts[thing])
                if found:
                    bits[which] |= found
                    is_open &= ~found
                    if not is_crowd_list[thing]:
                        free[thing] &= ~found
        if is_open != -1:
            places.append(detection)
            true.append(bits[0])
            neither.append(bits[1])
    return Matches(np.array(places, int), _unpack(true, shape), _unpack(neither, shape))


def _bits_of_ranges(is_in: np.ndarray, num_thresholds: int) -> list[int]:
    """Return, for each column of (a, n), the bits of the ranges in which it is true, at every threshold."""
    every = (1 << num_thresholds) - 1
    return [sum(every << area * num_thresholds for area, is_one in enumerate(one) if is_one) for one in is_in.T.tolist()]


def _group(
    ious: np.ndarray, thresholds: np.ndarray, num_ranges: int
) -> list[tuple[int, list[tuple[int, int]]]]:
    """Return each detection that reaches a threshold, with its objects, best first, and the bits that each reaches."""
    detections, things = np.nonzero(ious >= thresholds[0])
    overlaps = ious[detections, things]
    order = np.lexsort((-things, -overlaps, detections))
    levels = np.searchsorted(thresholds, overlaps[order], side="right").tolist()
    bits = [sum(((1 << level) - 1) << area * len(thresholds) for area in range(num_ranges)) for level in range(len(thresholds) + 1)]
    groups: list[tuple[int, list[tuple[int, int]]]] = []
    last = -1
    for detection, thing, level in zip(detections[order].tolist(), things[order].tolist(), levels, strict=True):
        if detection != last:
            groups.append((detection, []))
            last = detection
        groups[-1][1].append((thing, bits[level]))
    return groups


def _unpack(bits: list[int], shape: tuple[int, int]) -> np.ndarray:
    """Return (a, t, k) bools from k numbers."""
    numbers = np.array(bits, np.uint64)
    return (numbers >> np.arange(shape[0] * shape[1], dtype=np.uint64)[:, None] & np.uint64(1)).astype(bool).reshape(*shape, -1)
