"""Match the detections in an image with its objects as pycocotools does, at many thresholds and size ranges at once.

The C++ of faster-coco-eval 1.8 counts faster, but only gives the figures of a whole data set, which it needs in memory
as Python objects; its IoUs equal those of pycocotools and take longer. Few detections overlap an object enough for any
threshold, so a loop over these pairs alone, with a bit for each threshold and size range, takes little of the time.
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
        pairs: each detection with an object that it has, and the bits of the ranges and thresholds at which it does.
    """

    places: np.ndarray
    is_true: np.ndarray
    is_neither: np.ndarray
    pairs: list[tuple[int, int, int]]

    def finders(self, num_objects: int) -> np.ndarray:
        """Return (a, t, n) the detection that has each object, -1 for none; of a crowd, the last one."""
        shape = self.is_true.shape[:2]
        found = np.full((*shape, num_objects), -1)
        is_found = np.moveaxis(_unpack([bits for *_, bits in self.pairs], shape), -1, 0)
        for (place, thing, _), where in zip(self.pairs, is_found, strict=True):
            found[where, thing] = place
        return found


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
    shape = len(is_ignored), len(thresholds)  # each pair of range and threshold is a bit
    every = (1 << shape[0] * shape[1]) - 1
    counts, crowds = _bits_of_ranges(~is_ignored, shape[1]), is_crowd.tolist()
    free = [every] * len(crowds)
    places: list[int] = []
    bits: tuple[list[int], list[int]] = [], []
    pairs: list[tuple[int, int, int]] = []
    for place, candidates in _group(ious, thresholds, shape[0]):
        is_open, found = every, [0, 0]
        for is_second in (0, 1):  # objects that count, then ignored ones
            for thing, fits in candidates:
                new = is_open & fits & free[thing] & (~counts[thing] if is_second else counts[thing])
                if not new:
                    continue
                pairs.append((place, thing, new))
                found[is_second] |= new
                is_open &= ~new
                free[thing] &= every if crowds[thing] else ~new
        if is_open != every:
            places.append(place)
            bits[0].append(found[0])
            bits[1].append(found[1])
    return Matches(np.array(places, int), _unpack(bits[0], shape), _unpack(bits[1], shape), pairs)


def _bits_of_ranges(is_in: np.ndarray, num_thresholds: int) -> list[int]:
    """Return, for each column of (a, n), the bits of the ranges in which it is true, at every threshold."""
    every = (1 << num_thresholds) - 1
    return [
        sum(every << area * num_thresholds for area, is_one in enumerate(one) if is_one) for one in is_in.T.tolist()
    ]


def _group(ious: np.ndarray, thresholds: np.ndarray, num_ranges: int) -> list[tuple[int, list[tuple[int, int]]]]:
    """Return each detection that reaches a threshold, with its objects, best first, and the bits that each reaches."""
    detections, things = np.nonzero(ious >= thresholds[0])
    overlaps = ious[detections, things]
    order = np.lexsort((-things, -overlaps, detections))
    levels = np.searchsorted(thresholds, overlaps[order], side="right")
    reached = [(1 << level) - 1 for level in range(len(thresholds) + 1)]
    bits = [sum(one << area * len(thresholds) for area in range(num_ranges)) for one in reached]
    groups: list[tuple[int, list[tuple[int, int]]]] = []
    last = -1
    for detection, thing, level in zip(
        detections[order].tolist(), things[order].tolist(), levels.tolist(), strict=True
    ):
        if detection != last:
            groups.append((detection, []))
            last = detection
        groups[-1][1].append((thing, bits[level]))
    return groups


def _unpack(bits: list[int], shape: tuple[int, int]) -> np.ndarray:
    """Return (a, t, k) bools from k numbers."""
    places = np.arange(shape[0] * shape[1], dtype=np.uint64)[:, None]
    is_set = np.array(bits, np.uint64) >> places & np.uint64(1)
    return is_set.astype(bool).reshape(*shape, -1)
