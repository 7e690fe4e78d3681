"""Average recall and precision of class-agnostic boxes and masks, from two json files or their contents.

The numbers are those of pycocotools' `COCOeval`, but predictions are taken image by image, and of each only what
`Tally` keeps stays in memory; docs/method.md, section 7, explains the metrics and their names. All values are in
percent. A metric without ground truth is `None`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from vclr.coco import annotations as coco_json
from vclr.coco.annotations import Json
from vclr.coco.predictions import ByImage, check_predictions, group_by_image, read_predictions
from vclr.errors import UsageError
from vclr.evaluation.tally import AP_DETECTIONS, Detections, Metrics, Objects, Tally

MAX_DETS = (1, 10, 20, 30, 50, 100, 300)

Key = tuple[str, str]  # group, and "box" or "mask"


def score(
    ground_truth: str | Path | Json,
    predictions: str | Path | list[Json],
    max_dets: Sequence[int] = MAX_DETS,
    categories: list[str] | None = None,
    masks: bool = True,
) -> Metrics:
    """Compare predictions with a ground truth, without regard to classes.

    Args:
        ground_truth: a COCO json, as a file or as `load_coco` returned it. If only some of its annotations have a
            segmentation, the others count by their filled box.
        predictions: COCO results (`image_id`, `score`, `bbox` xywh absolute, `segmentation`), as a file or a list; or
            the file of a COCO json whose annotations have scores, such as object proposals; its images are found by
            file name. A missing box is taken from the mask. Predictions for images that are left out do not count.
        max_dets: numbers of best detections per image at which recall is measured.
        categories: names of the categories that count; the others' annotations and the images that then have none are
            left out. All count by default.
        masks: if False, masks are not counted and their metrics are `None`.

    Returns:
        `box_ap`, `box_ap50`, `box_ap75`, `box_ap_small` ... (at 100 detections), `box_ar@1`, `box_ar@10` ...,
        `box_ar@100_small` ... (from 100 detections on), and the same with `mask_`. Mask metrics are `None` if the
        ground truth or the predictions have no segmentation at all.

    Raises:
        UserError: a file or an entry of it is invalid.
        UsageError: `max_dets` holds something other than positive integers.
    """
    truth_source = str(ground_truth) if isinstance(ground_truth, (str, Path)) else "ground truth"
    truth = coco_json.load_coco(ground_truth) if isinstance(ground_truth, (str, Path)) else ground_truth
    scorer = Scorer(truth, {"": categories}, max_dets, masks, truth_source)
    if isinstance(predictions, (str, Path)):
        with read_predictions(predictions, truth["images"], truth_source) as found:
            return scorer.score(found)[""]
    return scorer.score(group_by_image(check_predictions(predictions, truth["images"], "predictions")))[""]


class Scorer:
    """Compare predictions with each of several groups of classes, without regard to classes within a group.

    Attributes:
        tallies: what the predictions so far amount to, per group, for boxes and, if the group has masks, for masks.
    """

    def __init__(
        self,
        truth: Json,
        groups: Mapping[str, list[str] | None],
        max_dets: Sequence[int] = MAX_DETS,
        masks: bool = True,
        truth_source: str = "ground truth",
    ) -> None:
        """Prepare the ground truth.

        Args:
            truth: a ground truth as `load_coco` returned it.
            groups: for each group, the names of its categories; None stands for all.
            max_dets: as in `score`.
            masks: as in `score`.
            truth_source: what errors call the ground truth.
        """
        if not max_dets or any(not isinstance(count, int) or count < 1 for count in max_dets):
            raise UsageError(f"max_dets {list(max_dets)!r}: must be positive whole numbers")
        self._max_dets = sorted(set(max_dets))
        self._numbers = _number_images(truth["images"])
        self._sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
        self._objects: dict[str, dict[int | str, list[Json]]] = {}  # of each image in a group
        self.tallies: dict[Key, Tally] = {}
        for group, names in groups.items():
            part = _select(truth, names, truth_source)
            self._objects[group] = _objects_by_image(part)
            num_objects = (~_measure_objects(part["annotations"]).is_ignored).sum(axis=1)
            for kind in ("box", "mask") if masks and _has_masks(part["annotations"]) else ("box",):
                self.tallies[group, kind] = Tally(self._max_dets, num_objects)

    def score(self, predictions: ByImage) -> dict[str, Metrics]:
        """Add predictions as `PredictionChecks.check` returned them, and return the metrics."""
        for image_id, found in predictions:
            self.add(image_id, found)
        return self.metrics()

    def add(self, image_id: int | str, predictions: list[Json]) -> None:
        """Count all predictions for an image, as `PredictionChecks.check` returned them."""
        for kind in ("box", "mask"):
            best, is_mask = self._best(predictions), kind == "mask"
            if not best or (is_mask and best[0]["segmentation"] is None):
                continue
            outlines = [self._outline(prediction, image_id, is_mask) for prediction in best]
            detections = Detections(np.array([float(one["score"]) for one in best]), _areas(outlines, is_mask))
            for (group, counted), tally in self.tallies.items():
                objects = self._objects[group].get(image_id)
                if counted != kind or objects is None:
                    continue
                tally.num_found += len(predictions)
                measured = _measure_objects(objects)
                shapes = [self._outline(one, image_id, is_mask) for one in objects]
                tally.add(self._numbers[image_id], detections, measured, _overlap(outlines, shapes, measured.is_crowd))

    def merge(self, tallies: Mapping[Key, Tally]) -> None:
        """Add the `tallies` of a scorer that has counted other images of the same ground truth."""
        for key, tally in tallies.items():
            self.tallies[key].merge(tally)

    def metrics(self) -> dict[str, Metrics]:
        """Return what `score` returns, for each group."""
        scores = {}
        for group in self._objects:
            boxes, masks = self.tallies[group, "box"], self.tallies.get((group, "mask"))
            scores[group] = boxes.metrics("box")
            if masks and masks.num_found == boxes.num_found:  # otherwise the predictions have none
                scores[group] |= masks.metrics("mask")
            else:
                scores[group] |= {name.replace("box_", "mask_", 1): None for name in scores[group]}
        return scores

    def _best(self, predictions: list[Json]) -> list[Json]:
        """Return as many predictions as count, best first; between equals, category and order decide."""
        ordered = sorted(predictions, key=lambda prediction: prediction["category_id"])
        ordered.sort(key=lambda prediction: -prediction["score"])
        return ordered[: max(*self._max_dets, AP_DETECTIONS)]

    def _outline(self, annotation: Json, image_id: int | str, is_mask: bool) -> Any:
        """Return the box, or the mask as compressed RLE; without a mask, it is the filled box."""
        if not is_mask:
            return annotation["bbox"]
        x, y, w, h = annotation["bbox"]
        corners = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        return coco_json.to_rle(annotation.get("segmentation") or corners, *self._sizes[image_id])


def _select(truth: Json, categories: list[str] | None, source: str) -> Json:
    """Keep the annotations of some categories, and the images that have one; None keeps everything."""
    if categories is None:
        return truth
    wanted = coco_json.category_ids(truth, categories, source)
    return coco_json.select(truth, lambda annotation: annotation["category_id"] in wanted)


def _objects_by_image(truth: Json) -> dict[int | str, list[Json]]:
    """Return the annotations of each image, by category as in pycocotools, where the order decides between equals."""
    objects: dict[int | str, list[Json]] = {image["id"]: [] for image in truth["images"]}
    for annotation in sorted(truth["annotations"], key=lambda annotation: annotation["category_id"]):
        objects[annotation["image_id"]].append(annotation)
    return objects


def _has_masks(annotations: list[Json]) -> bool:
    return any(annotation.get("segmentation") is not None for annotation in annotations)


def _number_images(images: list[Json]) -> dict[int | str, int]:
    """Number images by their ids: the order decides between equally good predictions in different images."""
    ids = sorted((image["id"] for image in images), key=lambda image_id: (isinstance(image_id, str), image_id))
    return {image_id: number for number, image_id in enumerate(ids, start=1)}


def _measure_objects(annotations: list[Json]) -> Objects:
    areas = [one["area"] if "area" in one else one["bbox"][2] * one["bbox"][3] for one in annotations]
    return Objects(np.array(areas, float), np.array([one.get("iscrowd", 0) for one in annotations], bool))


def _areas(outlines: list[Any], is_mask: bool) -> np.ndarray:
    """Return the areas that decide between small, medium and large: the masks' own if masks are counted."""
    if is_mask:  # one at a time: of a list, pycocotools 2.0.11 puts the areas in a uint8
        return np.array([coco_mask.area(outline) for outline in outlines], float)
    return np.array([width * height for _, _, width, height in outlines], float)


def _overlap(detections: list[Any], objects: list[Any], is_crowd: np.ndarray) -> np.ndarray:
    """Return the IoUs (d, n) of boxes or masks; of a crowd, the share of the detection that lies in it."""
    if not objects:
        return np.zeros((len(detections), 0))
    return np.asarray(coco_mask.iou(detections, objects, is_crowd.astype(np.uint8).tolist()))
