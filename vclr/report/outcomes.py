"""What the predictions for a test set amount to, object by object: computed once, for curves and failure browser."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from vclr.catalog.metrics import AP_DETECTIONS
from vclr.coco.prediction import Prediction
from vclr.coco.predictions import ByImage, PredictionsFile
from vclr.evaluation.detections import best_first
from vclr.evaluation.matching import match
from vclr.evaluation.tally import THRESHOLDS
from vclr.report.annotated import Annotated
from vclr.worker_pool import WorkerPool

FITS = THRESHOLDS[0]  # IoU from which a prediction fits an object
CURVE_LEVELS = [0, 5]  # of `THRESHOLDS`: precision is drawn at IoU .50 and .75

ByGroup = defaultdict[str, list[np.ndarray]]


class Unfitting(NamedTuple):
    """The best prediction in an image that fits no annotated object: its score, the image, its rank in the image."""

    score: float
    image_id: Any
    rank: int


@dataclass
class Outcomes:
    """The outcomes of an experiment on a test set; only the `AP_DETECTIONS` best predictions per image count.

    Attributes:
        kind: whether boxes or masks were compared, one of `KINDS`.
        levels: for each group, the number of `THRESHOLDS` (n,) at which each annotation was found.
        scores: for each group, the scores of the predictions, image by image.
        is_true: for each group, whether each of them found an object at each of `CURVE_LEVELS`, two values per score.
        is_judged: the same, whether each counts: not if it found no object, but lies in a crowd.
        unfitting: for each image with such a prediction, the best one that fits no annotated object of any class.
    """

    kind: str
    levels: dict[str, np.ndarray]
    scores: ByGroup = field(default_factory=lambda: defaultdict(list))
    is_true: ByGroup = field(default_factory=lambda: defaultdict(list))
    is_judged: ByGroup = field(default_factory=lambda: defaultdict(list))
    unfitting: list[Unfitting] = field(default_factory=list)

    def merge(self, other: Outcomes) -> None:
        """Add the outcomes of the predictions for other images of the same file."""
        self.kind = other.kind
        for group, levels in other.levels.items():
            self.levels[group] += levels
            self.scores[group] += other.scores[group]
            self.is_true[group] += other.is_true[group]
            self.is_judged[group] += other.is_judged[group]
        self.unfitting += other.unfitting

    def recall(self, group: str, chosen: np.ndarray) -> float | None:
        """Return the recall of chosen objects (n,) in percent, averaged over `THRESHOLDS`; None if there are none."""
        levels = self.levels[group][chosen]
        return float(levels.mean()) * 100 / len(THRESHOLDS) if levels.size else None

    def precision(self, group: str, level: int, num_objects: int) -> tuple[np.ndarray, np.ndarray]:
        """Return recall and precision at the n-th of `CURVE_LEVELS`; precision is the best at this recall or beyond."""
        if not self.scores[group] or not num_objects:
            return np.zeros(0), np.zeros(0)
        order = np.argsort(-np.concatenate(self.scores[group]), kind="stable")
        order = order[np.concatenate(self.is_judged[group])[order, level]]
        is_true = np.concatenate(self.is_true[group])[order, level]
        found = np.cumsum(is_true)
        precision = found / np.arange(1, len(found) + 1)
        return found / num_objects, np.maximum.accumulate(precision[::-1])[::-1]


def read_outcomes(predictions: PredictionsFile, annotated: Annotated, pool: WorkerPool | None = None) -> Outcomes:
    """Go through the predictions of an experiment image by image; the processes of `pool` may share the work.

    Objects are found as in `vclr.evaluation.recall`: of each group alone, without regard to classes within it.
    """
    outcomes = _start(annotated)
    for part in predictions.map_images(_read_images, annotated, "predictions", pool):
        outcomes.merge(part)
    return outcomes


def _start(annotated: Annotated) -> Outcomes:
    """Return the outcomes of no prediction."""
    return Outcomes("box", {group: np.zeros(len(annotated.annotations), np.int8) for group in annotated.groups})


def _read_images(annotated: Annotated, predictions: ByImage) -> Outcomes:
    """Return the outcomes of the predictions for some images of a file."""
    outcomes = _start(annotated)
    for image_id, found in predictions:
        _add(outcomes, annotated, image_id, found)
    return outcomes


def _add(outcomes: Outcomes, annotated: Annotated, image_id: Any, predictions: list[Prediction]) -> None:
    found, positions = best_first(predictions, AP_DETECTIONS), annotated.in_image[image_id]
    if found[0].segmentation is not None and annotated.has_masks:
        outcomes.kind = "mask"
    ious = annotated.overlaps(image_id, found, outcomes.kind)
    scores = np.array([one.score for one in found], float)
    for group, is_of_group in annotated.groups.items():
        of_group = is_of_group[positions]
        is_crowd = annotated.is_crowd[positions[of_group]]
        if group not in annotated.whole and is_crowd.all():
            continue  # as in the metrics, which leave out the images without an object of a group
        matches = match(ious[:, of_group], is_crowd, is_crowd[None], THRESHOLDS)
        is_found = matches.finders(len(is_crowd))[0] >= 0
        outcomes.levels[group][positions[of_group]] = np.where(is_crowd, 0, is_found.sum(axis=0))
        is_true, is_neither = np.zeros((2, len(found), len(CURVE_LEVELS)), bool)
        is_true[matches.places] = matches.is_true[0, CURVE_LEVELS].T
        is_neither[matches.places] = matches.is_neither[0, CURVE_LEVELS].T
        outcomes.scores[group].append(scores)
        outcomes.is_true[group].append(is_true)
        outcomes.is_judged[group].append(~is_neither)
    unfitting = np.flatnonzero(ious.max(axis=1, initial=0) < FITS)
    if unfitting.size:
        outcomes.unfitting.append(Unfitting(float(scores[unfitting[0]]), image_id, int(unfitting[0])))
