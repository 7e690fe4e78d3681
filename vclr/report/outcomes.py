"""What the predictions for a test set amount to, object by object: computed once, for curves and failure browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from vclr.catalog.metrics import AP_DETECTIONS
from vclr.coco.annotations import Json
from vclr.coco.predictions import PredictionsFile
from vclr.evaluation.tally import THRESHOLDS
from vclr.report.annotated import Annotated, overlaps

FITS = THRESHOLDS[0]  # IoU from which a prediction fits an object
CURVE_LEVELS = (0, 5)  # of `THRESHOLDS`: precision is drawn at IoU .50 and .75


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
    scores: dict[str, list[np.ndarray]] = field(default_factory=dict)
    is_true: dict[str, list[np.ndarray]] = field(default_factory=dict)
    is_judged: dict[str, list[np.ndarray]] = field(default_factory=dict)
    unfitting: list[Unfitting] = field(default_factory=list)

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


def read_outcomes(predictions: PredictionsFile, annotated: Annotated) -> Outcomes:
    """Go through the predictions of an experiment image by image.

    Objects are found as in `vclr.evaluation.recall`: of each group alone, without regard to classes within it.
    """
    count = len(annotated.annotations)
    outcomes = Outcomes("box", {group: np.zeros(count, np.int8) for group in annotated.groups})
    for by_group in (outcomes.scores, outcomes.is_true, outcomes.is_judged):
        by_group |= {group: [] for group in annotated.groups}
    sizes = {image["id"]: (image["height"], image["width"]) for image in annotated.coco["images"]}
    for image_id in predictions.entries:
        found = predictions.of_image(image_id)
        if found[0]["segmentation"] is not None and annotated.has_masks:
            outcomes.kind = "mask"
        _add(outcomes, annotated, image_id, best(found), sizes[image_id])
    return outcomes


def best(found: list[Json]) -> list[Json]:
    """Return the predictions for an image that count, best first."""
    return sorted(found, key=lambda one: (-one["score"], one["category_id"]))[:AP_DETECTIONS]


def _add(outcomes: Outcomes, annotated: Annotated, image_id: Any, found: list[Json], size: tuple[int, int]) -> None:
    positions = annotated.in_image[image_id]
    ious = overlaps(found, [annotated.annotations[position] for position in positions], size, outcomes.kind)
    is_crowd, scores = annotated.is_crowd[positions], np.array([one["score"] for one in found])
    for group, is_of_group in annotated.groups.items():
        counts = is_of_group[positions]
        objects, crowds = counts & ~is_crowd, counts & is_crowd
        if group not in annotated.whole and not objects.any():
            continue  # as in the metrics, which leave out the images without an object of a group
        given = assign(ious[:, objects], THRESHOLDS)
        outcomes.levels[group][positions[objects]] = (given >= 0).sum(axis=0)
        is_true = np.zeros((len(found), len(CURVE_LEVELS)), bool)
        for column, level in enumerate(CURVE_LEVELS):
            is_true[given[level][given[level] >= 0], column] = True
        in_crowd = ious[:, crowds].max(axis=1, initial=0)
        outcomes.scores[group].append(scores)
        outcomes.is_true[group].append(is_true)
        outcomes.is_judged[group].append(is_true | (in_crowd[:, None] < THRESHOLDS[list(CURVE_LEVELS)]))
    unfitting = np.flatnonzero(ious.max(axis=1, initial=0) < FITS)
    if unfitting.size:
        outcomes.unfitting.append(Unfitting(float(scores[unfitting[0]]), image_id, int(unfitting[0])))


def assign(ious: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Give objects to predictions, best first, as `vclr.evaluation.matching` does, at several thresholds at once.

    Args:
        ious: (d, n) IoUs of predictions, best first, and objects.
        thresholds: (t,) minimum IoUs.

    Returns:
        (t, n) the prediction that found each object, or -1.
    """
    given = np.full((len(thresholds), ious.shape[1]), -1)
    for position in np.flatnonzero(ious.max(axis=1, initial=0) >= thresholds.min()):
        is_free = (given < 0) & (ious[position] >= thresholds[:, None])
        overlap = np.where(is_free, ious[position], -1.0)
        nearest = ious.shape[1] - 1 - overlap[:, ::-1].argmax(axis=1)  # among equals, the last one
        finds = is_free.any(axis=1)
        given[finds, nearest[finds]] = position
    return given
