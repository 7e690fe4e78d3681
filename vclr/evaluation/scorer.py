"""Count predictions image by image: which of them find objects, in each group of classes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from vclr.catalog.metrics import AP_DETECTIONS, BOUNDARY, KINDS, MAX_DETS, metric_names
from vclr.coco.annotations import Json
from vclr.coco.file import CocoFile
from vclr.coco.prediction import Prediction, as_prediction
from vclr.coco.predictions import ByImage, PredictionsFile
from vclr.errors import UsageError
from vclr.evaluation.boundary import to_boundary
from vclr.evaluation.detections import best_first, outline_found, outline_objects, overlap
from vclr.evaluation.intervals import Draws, Key, draw_averages, draw_metrics
from vclr.evaluation.tally import Detections, Metrics, Tally, average
from vclr.evaluation.truth import Group, Truth
from vclr.wording import count_of, short
from vclr.worker_pool import WorkerPool

log = logging.getLogger("vclr.evaluation")


class Scorer:
    """Compare predictions with each of several groups of classes, without regard to classes within a group.

    Attributes:
        tallies: what the predictions so far amount to, per group, for boxes and, if the group has masks, for masks.
    """

    def __init__(
        self,
        truth: CocoFile,
        groups: Mapping[str, list[str] | None],
        max_dets: Sequence[int] = MAX_DETS,
        masks: bool = True,
        truth_source: str = "ground truth",
        boundary: bool = False,
    ) -> None:
        """Prepare the ground truth.

        Args:
            truth: a ground truth as `open_checked` returned it.
            groups: for each group, the names of its categories; None stands for all.
            max_dets: as in `score`.
            masks: as in `score`.
            truth_source: what errors call the ground truth.
            boundary: as in `score`.
        """
        if not max_dets or any(not isinstance(count, int) or count < 1 for count in max_dets):
            raise UsageError(f"max_dets {list(max_dets)!r}: must be positive whole numbers")
        self._max_dets = sorted(set(max_dets))
        self._truth = Truth(truth, truth_source)
        self._source = "predictions"  # what errors call the predictions
        self._groups = self._make_groups(groups)
        self.tallies: dict[Key, Tally] = {}
        self._kinds = (*KINDS, BOUNDARY) if boundary else KINDS
        for name, group in self._groups.items():
            for kind in self._kinds if masks and group.has_masks else ("box",):
                self.tallies[name, kind] = Tally(self._max_dets, group.num_objects.sum(axis=0))

    def _make_groups(self, groups: Mapping[str, list[str] | None]) -> dict[str, Group]:
        return {group: self._truth.group(names) for group, names in groups.items()}

    def score(self, predictions: ByImage, pool: WorkerPool | None = None) -> dict[str, Metrics]:
        """Count predictions as `count_all` does, and return the metrics of each group."""
        self.count_all(predictions, pool)
        return self.metrics()

    def count_all(self, predictions: ByImage, pool: WorkerPool | None = None) -> None:
        """Count predictions; the processes of `pool` may share the work on a file."""
        if isinstance(predictions, PredictionsFile):
            self._source = str(predictions.path)
            for tallies in predictions.map_images(_count_images, self._start_again(), "score", pool):
                self.merge(tallies)
            return
        for image_id, found in predictions:
            self.count(image_id, found)

    def add(self, image_id: int | str, results: list[Json]) -> None:
        """Count all predictions for an image, as the detector makes them or `PredictionChecks.check` returned them."""
        self.count(image_id, [as_prediction(result) for result in results])

    def count(self, image_id: int | str, predictions: list[Prediction]) -> None:
        """Count all predictions for an image."""
        self._count(image_id, predictions, self._groups)

    def _count(self, image_id: int | str, predictions: list[Prediction], groups: Mapping[str, Group]) -> None:
        """Count all predictions for an image in some groups."""
        positions, annotations = self._truth.in_image(image_id)
        objects, number = self._truth.objects[positions], self._truth.numbers[image_id]
        size, best = self._truth.sizes[image_id], best_first(predictions, max(*self._max_dets, AP_DETECTIONS))
        scores = np.array([one.score for one in best[:AP_DETECTIONS]], float)
        counted = [name for name, group in groups.items() if number in group.images]
        for kind in self._kinds:
            tallies = {name: self.tallies[name, kind] for name in counted if (name, kind) in self.tallies}
            if not best or not tallies or (kind != "box" and best[0].segmentation is None):
                continue
            found, shapes = outline_found(kind, best, size), outline_objects(kind, annotations, size)
            detections = Detections(scores, _areas(kind, found[:AP_DETECTIONS]))
            ious = overlap(found, shapes, objects.is_crowd)
            if kind == BOUNDARY:
                ious = _lower_at_boundary(ious, found, shapes, objects.is_crowd)
            copies = _count_copies(best, scores) if kind == "box" else 0
            for name, tally in tallies.items():
                if copies:
                    tally.copies[image_id] = tally.copies.get(image_id, 0) + copies
                is_counted = groups[name].is_counted[positions]
                tally.num_found += len(predictions)
                tally.max_found = max(tally.max_found, len(predictions))
                tally.add(number, detections, objects[is_counted], ious[:, is_counted])

    def merge(self, tallies: Mapping[Key, Tally]) -> None:
        """Add the `tallies` of a scorer that has counted other images of the same ground truth."""
        for key, tally in tallies.items():
            self.tallies[key].merge(tally)

    def _start_again(self) -> Scorer:
        """Return a scorer of the same ground truth that has counted nothing."""
        again = copy(self)
        again.tallies = {key: Tally(tally.max_dets, tally.num_objects) for key, tally in self.tallies.items()}
        return again

    def metrics(self) -> dict[str, Metrics]:
        """Return what `score` returns, for each group."""
        self._warn_of_copies()
        scores, with_outlines = {}, self._with_outlines()
        for group in self._groups:
            scores[group] = self.tallies[group, "box"].metrics("box")
            without = list(scores[group])
            for kind in self._kinds[1:]:
                if (group, kind) in with_outlines:
                    scores[group] |= with_outlines[group, kind].metrics(kind)
                else:
                    scores[group] |= {name.replace("box_", f"{kind}_", 1): None for name in without}
        return scores

    def max_predictions(self) -> dict[str, int]:
        """Return the largest number of predictions for an image, for each group."""
        return {group: self.tallies[group, "box"].max_found for group in self._groups}

    def draw(self) -> dict[str, Draws]:
        """Return the metrics of each draw of the images, for each group; without those that are None."""
        return draw_metrics(*self._counted())

    def _counted(self) -> tuple[dict[Key, Tally], dict[str, np.ndarray]]:
        """Return what `_with_outlines` does, and the numbers of objects of each group."""
        return self._with_outlines(), {name: group.num_objects for name, group in self._groups.items()}

    def _with_outlines(self) -> dict[Key, Tally]:
        """Return the tallies of the kinds that the predictions have outlines of."""
        num_found = {group: self.tallies[group, "box"].num_found for group in self._groups}
        return {key: tally for key, tally in self.tallies.items() if tally.num_found == num_found[key[0]]}

    def _warn_of_copies(self) -> None:
        copies: dict[int | str, int] = {}
        for tally in self.tallies.values():
            for image_id, count in tally.copies.items():
                copies[image_id] = max(count, copies.get(image_id, 0))
        if copies:
            count, first = sum(copies.values()), short(next(iter(copies)))
            one = f"prediction is a copy of another for the same image, image {first}"
            several = f"predictions are copies of others for the same image, the first ones for image {first}"
            says = count_of(count, one, several)
            log.warning("%s: %s; each counts, and lowers the precision", self._source, says)


class ClassAwareScorer(Scorer):
    """Compare predictions with the objects of their own category; each category is a group, and its id the name."""

    def _make_groups(self, groups: Mapping[str, list[str] | None]) -> dict[str, Group]:
        return {str(category): group for category, group in self._truth.by_class().items()}

    def count(self, image_id: int | str, predictions: list[Prediction]) -> None:
        """Count all predictions for an image; `PredictionChecks` has checked that there are such categories."""
        by_class: dict[str, list[Prediction]] = {}
        for prediction in predictions:
            by_class.setdefault(str(prediction.category_id), []).append(prediction)
        for category, found in by_class.items():
            self._count(image_id, found, {category: self._groups[category]})

    def metrics(self) -> dict[str, Metrics]:
        """Return the averages over the categories, for the group of all classes."""
        self._warn_of_copies()
        scores: Metrics = {}
        with_outlines = self._with_outlines()
        for kind in self._kinds:
            if tallies := [tally for key, tally in with_outlines.items() if key[1] == kind]:
                scores |= average(kind, tallies)
            else:
                scores |= dict.fromkeys(metric_names(kind, self._max_dets))
        return {"": scores}

    def _with_outlines(self) -> dict[Key, Tally]:
        # Over all categories: one without predictions does not tell whether they have masks.
        num_found = Counter[str]()
        for (_, kind), tally in self.tallies.items():
            num_found[kind] += tally.num_found
        return {key: tally for key, tally in self.tallies.items() if num_found[key[1]] == num_found["box"]}

    def draw(self) -> dict[str, Draws]:
        """Return the averages over the categories of each draw of the images, for the group of all classes."""
        return {"": draw_averages(*self._counted())}


def _count_images(scorer: Scorer, predictions: ByImage) -> dict[Key, Tally]:
    """Return the tallies of some images of a file."""
    scorer = scorer._start_again()
    for image_id, found in predictions:
        scorer.count(image_id, found)
    return scorer.tallies


def _count_copies(best: list[Prediction], scores: np.ndarray) -> int:
    """Count the predictions with the score, the box and the category of another one."""
    if (scores[1:] != scores[:-1]).all():
        return 0
    return len(best) - len({(one.score, one.bbox, one.category_id) for one in best})


def _areas(kind: str, outlines: Any) -> np.ndarray:
    """Return the areas that decide between small, medium and large: the masks' own if masks are counted."""
    if kind != "box":
        # One at a time: of a list, pycocotools 2.0.11 counts the masks in a uint8, and fails if there are 256 or more.
        return np.array([coco_mask.area(outline) for outline in outlines], float)
    areas: np.ndarray = outlines[:, 2] * outlines[:, 3]
    return areas


def _lower_at_boundary(ious: np.ndarray, found: list[Json], shapes: list[Json], is_crowd: np.ndarray) -> np.ndarray:
    """Return the IoUs (d, n) of boundaries where they are lower; a crowd has no outline that counts."""
    near_outline = overlap([to_boundary(one) for one in found], [to_boundary(one) for one in shapes], is_crowd)
    return np.where(is_crowd, ious, np.minimum(ious, near_outline))
