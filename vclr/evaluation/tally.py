"""Count the matches of all images in little memory, and compute recall and precision as pycocotools does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from pycocotools.cocoeval import Params

from vclr.catalog.metrics import AP_DETECTIONS, AP_THRESHOLDS, f1_names, metric_names, recall_sizes
from vclr.evaluation.matching import match

_PARAMS = Params("bbox")
THRESHOLDS = np.minimum(_PARAMS.iouThrs, 1 - 1e-10)
RECALLS = _PARAMS.recThrs
RANGES = np.array(_PARAMS.areaRng)  # (a, 2): all sizes, then small, medium, large
UNMATCHED = np.packbits([False] * len(THRESHOLDS) + [True] * len(THRESHOLDS))  # false at every threshold

Metrics = dict[str, float | None]


@dataclass
class Objects:
    """Objects: (n,) areas, and whether each is a crowd."""

    areas: np.ndarray
    is_crowd: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> Objects:
        """Return some of the objects."""
        return Objects(self.areas[chosen], self.is_crowd[chosen])

    @property
    def is_ignored(self) -> np.ndarray:
        """(a, n) whether an object is ignored in a size range."""
        return self.is_crowd | is_outside(self.areas)


class Detections:
    """The best detections in an image, best first.

    Attributes:
        scores: (d,) of the `AP_DETECTIONS` best.
        is_inside: (a, d) whether the area of each of them lies in a size range.
    """

    def __init__(self, scores: np.ndarray, areas: np.ndarray) -> None:
        self.scores, self.is_inside = scores, ~is_outside(areas[:AP_DETECTIONS])


class Image(NamedTuple):
    """What average precision needs of an image: a detection is true, false, or neither.

    Attributes:
        detections: the detections; without an object they are false in the size ranges of their area, else neither.
        matched: (k,) positions of those that have an object at some threshold.
        flags: (a, 3, k) whether these are true at each threshold, and whether false, as bits.
    """

    detections: Detections
    matched: np.ndarray
    flags: np.ndarray


@dataclass
class Tally:
    """The matches of the images so far. Recall needs only their numbers, average precision an `Image` for each.

    Attributes:
        max_dets: numbers of best detections per image at which recall is measured, in ascending order.
        num_objects: (a,) number of objects per size range, of all images.
        num_found: number of predictions, including those that are not among the best.
        max_found: the largest number of them for an image.
        num_true: (m, a, t) number of objects found by the best detections of each image, for each of `max_dets`.
        counts: (m, a) what each image adds to `num_true`, summed over the thresholds, by its number.
        images: the images by number.
        copies: number of predictions for an image that are copies of another one, by the id of the image.
    """

    max_dets: Sequence[int]
    num_objects: np.ndarray
    num_found: int = 0
    max_found: int = 0
    num_true: np.ndarray = field(init=False)
    counts: dict[int, np.ndarray] = field(default_factory=dict)
    images: dict[int, Image] = field(default_factory=dict)
    copies: dict[int | str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.num_true = np.zeros((len(self.max_dets), len(RANGES), len(THRESHOLDS)), np.int64)

    def add(self, image: int, detections: Detections, objects: Objects, ious: np.ndarray) -> None:
        """Add the detections in an image."""
        places, is_true, is_neither, _ = match(ious, objects.is_crowd, objects.is_ignored, THRESHOLDS)
        found = np.concatenate([np.zeros((*is_true.shape[:2], 1), int), is_true.cumsum(axis=-1)], axis=-1)
        num_true = np.moveaxis(found[..., np.searchsorted(places, self.max_dets)], -1, 0)
        self.num_true += num_true
        self.counts[image] = num_true.sum(axis=-1).astype(np.uint32)
        kept = np.searchsorted(places, AP_DETECTIONS)
        matched, is_true, is_neither = places[:kept], is_true[..., :kept], is_neither[..., :kept]
        is_false = ~is_true & ~is_neither & detections.is_inside[:, None, matched]
        flags = np.packbits(np.concatenate([is_true, is_false], axis=1), axis=1)
        self.images[image] = Image(detections, matched.astype(np.uint8), flags)

    def merge(self, other: Tally) -> None:
        """Add the matches of other images."""
        self.num_found += other.num_found
        self.max_found = max(self.max_found, other.max_found)
        self.num_true += other.num_true
        self.counts |= other.counts
        self.images |= other.images
        self.copies |= other.copies

    def metrics(self, kind: str) -> Metrics:
        """Return the metrics of all images, named after `kind`, in percent; the threshold of F1 is a score."""
        return average(kind, [self]) | dict(zip(f1_names(kind), self._best_f1(), strict=True))

    def recall(self) -> np.ndarray:
        """Return the recall (m, a, t); -1 without an object."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.num_objects[:, None] > 0, self.num_true / self.num_objects[:, None], -1)

    def precision(self) -> np.ndarray:
        """Return the precision (a, t, r) at `AP_DETECTIONS` detections, by threshold and recall."""
        order = self.order()
        return np.stack([self._precision(area, order) for area in range(len(RANGES))])

    def _best_f1(self) -> tuple[float | None, float | None]:
        """Return the best F1 of the `AP_DETECTIONS` best detections at the lowest IoU, and the lowest score it keeps.

        Of equally good thresholds, it is the highest. There is no threshold if nothing true was found.
        """
        if not self.num_objects[0]:
            return None, None
        if not self.images:
            return 0.0, None
        order = self.order()
        flags, scores = self.sorted_flags(0, order), self.sorted_scores(order)
        true, false = (_row(flags, row).cumsum(dtype=np.int64) for row in (0, len(THRESHOLDS)))
        f1 = 2 * true / (true + false + self.num_objects[0])
        f1[:-1][scores[1:] == scores[:-1]] = 0  # a threshold keeps all equal scores
        best = int(f1.argmax()) if len(f1) else 0
        return (float(f1[best]) * 100, float(scores[best])) if f1.any() else (0.0, None)

    def _precision(self, area: int, order: np.ndarray) -> np.ndarray:
        """Return the precision (t, r) at `AP_DETECTIONS` detections, by threshold and recall; -1 without an object."""
        precision = np.full((len(THRESHOLDS), len(RECALLS)), 0.0 if self.num_objects[area] else -1.0)
        if not self.images or not self.num_objects[area]:
            return precision
        flags = self.sorted_flags(area, order)
        for threshold in range(len(THRESHOLDS)):
            # Precision is highest where a true detection was added, and recall grows there.
            places = np.flatnonzero(_row(flags, threshold))
            false = np.cumsum(_row(flags, len(THRESHOLDS) + threshold), dtype=np.int32)[places]
            true = np.arange(1.0, len(places) + 1)
            best = np.maximum.accumulate((true / (false + true + np.spacing(1)))[::-1])[::-1]
            ranks = np.searchsorted(true / self.num_objects[area], RECALLS, side="left")
            ranks = ranks[ranks < len(true)]
            precision[threshold, : len(ranks)] = best[ranks]
        return precision

    def order(self) -> np.ndarray:
        """Return the places (d,) of the detections in all images, image after image, best first."""
        return np.argsort(-self._scores(), kind="stable")

    def sorted_flags(self, area: int, order: np.ndarray) -> np.ndarray:
        """Return the packed flags (3, d) of the detections in all images, in this order."""
        images = [self.images[number] for number in sorted(self.images)]
        flags = UNMATCHED[:, None] * np.concatenate([image.detections.is_inside[area] for image in images])
        start = 0
        for image in images:
            flags[:, start + image.matched.astype(int)] = image.flags[area]
            start += len(image.detections.scores)
        return flags[:, order]

    def sorted_scores(self, order: np.ndarray) -> np.ndarray:
        """Return the score (d,) of each detection, in this order."""
        return self._scores()[order]

    def sorted_images(self, order: np.ndarray) -> np.ndarray:
        """Return the image (d,) of each detection, in this order."""
        numbers = sorted(self.images)
        return np.repeat(numbers, [len(self.images[number].detections.scores) for number in numbers])[order]

    def _scores(self) -> np.ndarray:
        """Return the scores of the detections in all images."""
        return np.concatenate([[], *(self.images[number].detections.scores for number in sorted(self.images))])


def average(kind: str, tallies: Sequence[Tally]) -> Metrics:
    """Return the metrics of several tallies, named after `kind`: averages over those that have objects, in percent."""
    precision = np.stack([tally.precision() for tally in tallies], axis=-1)  # (a, t, r, k), summed as pycocotools does
    recall = np.stack([tally.recall() for tally in tallies], axis=-1)
    alone, max_dets = np.searchsorted(THRESHOLDS, list(AP_THRESHOLDS.values())), tallies[0].max_dets
    values = [precision[0], *precision[0, alone], *precision[1:]]
    for count, by_size in zip(max_dets, recall, strict=True):
        values += [*by_size[: len(recall_sizes(count))]]
    return dict(zip(metric_names(kind, max_dets), map(_percent, values), strict=True))


def is_outside(areas: np.ndarray) -> np.ndarray:
    """Return (a, n) whether each area is outside of a size range."""
    return (areas < RANGES[:, :1]) | (areas > RANGES[:, 1:])


def _row(packed: np.ndarray, row: int) -> np.ndarray:
    return packed[row // 8] >> (7 - row % 8) & 1


def _percent(values: np.ndarray) -> float | None:
    """Average the values that have ground truth."""
    present = values[values > -1]
    return float(present.mean()) * 100 if present.size else None
