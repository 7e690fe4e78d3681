"""Checks of predictions for the images of a data set, one by one or many at once."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from vclr.coco.checks import Json, check_box, check_segmentation, is_finite_number, say_twin
from vclr.coco.prediction import Prediction, are_boxes, are_inside, are_masks, normalize
from vclr.coco.units import Units
from vclr.errors import UserError
from vclr.wording import count_of, short

log = logging.getLogger("vclr.coco")


class PredictionChecks:
    """Check predictions for the images of a data set, one by one.

    Attributes:
        sizes: (height, width) of each image, by its id.
        units: collects evidence from all boxes and polygons.
        outside: the entries whose box lies outside of its image.
        num_flat: number of boxes without a width or a height.
    """

    def __init__(self, images: list[Json], classes: Collection[int] | None = None) -> None:
        """Prepare the checks; with `classes`, each prediction needs a category, which is one of them."""
        self.sizes = {image["id"]: (image["height"], image["width"]) for image in images}
        self._classes = classes
        self.num_flat = 0
        self.units = Units()
        self.outside: list[str] = []
        self._has_masks = False
        self._without_mask = ""  # the first entry without one

    def check(self, prediction: Any, entry: str) -> Json:
        """Check a prediction, which errors call `entry`.

        Args:
            prediction: has `image_id`, `score`, `bbox` (xywh absolute) or `segmentation`, and optionally `category_id`.
            entry: the name of the prediction in errors.

        Returns:
            Its `image_id`, `category_id`, `score`, `bbox` and `segmentation` (None if missing).

        Raises:
            UserError: it is not valid, or only some predictions have a segmentation.
        """
        found = _check(prediction, self.sizes, entry)
        if self._classes is not None:
            _check_class(prediction, self._classes, entry)
        self.num_flat += prediction.get("bbox") is not None and _is_flat(found["bbox"])
        if self.units.are_open:
            self.units.add(found, self.sizes[found["image_id"]])
        if not are_inside([found["bbox"]], [self.sizes[found["image_id"]]]):
            self.outside.append(entry)
        if found["segmentation"] is not None:
            self._has_masks = True
        elif not self._without_mask:
            self._without_mask = entry
        if self._has_masks and self._without_mask:
            raise UserError(f"{self._without_mask}: has no `segmentation`, though other predictions have one")
        return found

    def accept(self, found: list[Prediction], entry: str) -> bool:
        """Check many predictions at once, of which errors call the first one `entry`.

        Returns:
            Whether all are valid and no box lies outside of its image; otherwise none is taken into account, and
            `check` says about each what it is.
        """
        sizes = [self.sizes[one.image_id] for one in found if one.image_id in self.sizes]
        masks = [one.segmentation for one in found]
        boxes = [one.bbox for one in found if one.bbox is not None]
        has_masks = masks[0] is not None
        if self._classes is not None and any(one.category_id not in self._classes for one in found):
            return False
        if len(sizes) < len(found) or (self._without_mask if has_masks else self._has_masks):
            return False
        with_box = sizes if len(boxes) == len(found) else [self.sizes[one.image_id] for one in found if one.bbox]
        if not are_boxes(boxes) or not are_inside(boxes, with_box):
            return False
        if not (are_masks(masks, sizes) if has_masks else masks.count(None) == len(boxes) == len(found)):
            return False
        for one, size in zip(found, sizes, strict=True):
            if not self.units.need(has_masks):
                break
            if one.bbox is None:
                return False
            self.units.add({"bbox": one.bbox, "segmentation": has_masks or None}, size)
        self.num_flat += sum(map(_is_flat, boxes))
        self._has_masks |= has_masks
        self._without_mask = self._without_mask or ("" if has_masks else entry or "a prediction")
        return True

    def finish(self, source: str | Path) -> None:
        """Warn of boxes that are empty or outside of their images, once all predictions are checked.

        Args:
            source: the name of the predictions in errors.

        Raises:
            UserError: the coordinates are not in pixels.
        """
        if says := self.units.say_shares():
            raise UserError(f"{source}: {says}")
        if self.num_flat:
            one, several = "box has a width or height of 0 and fits", "boxes have a width or height of 0 and fit"
            log.warning("%s: %s no object", source, count_of(self.num_flat, one, several))
        if not self.outside:
            return
        count = count_of(len(self.outside), "box lies outside of its image", "boxes lie outside of their images")
        log.warning("%s: %s, the first one at %s", source, count, self.outside[0].removeprefix(f"{source}: "))

    @property
    def agree(self) -> bool:
        """Whether all predictions have a mask, or none has."""
        return not (self._has_masks and self._without_mask)

    def start_again(self) -> PredictionChecks:
        """Return checks for other predictions of the same data set."""
        again = PredictionChecks([], self._classes)
        again.sizes = self.sizes
        return again

    def merge(self, other: PredictionChecks) -> None:
        """Take into account what other checks have accepted."""
        self.units.merge(other.units)
        self.num_flat += other.num_flat
        self._has_masks |= other._has_masks
        self._without_mask = self._without_mask or other._without_mask


def check_predictions(
    entries: Any, images: list[Json], source: str, classes: Collection[int] | None = None
) -> list[Json]:
    """Check predictions for the images of a data set.

    Args:
        entries: see `PredictionChecks.check`.
        images: `images` of the data set.
        source: the name of the predictions in errors.
        classes: as of `PredictionChecks`.

    Returns:
        The predictions as `PredictionChecks.check` returns them.

    Raises:
        UserError: it is not a list, an entry is not valid, only some entries have a segmentation, or the coordinates
            are not in pixels.
    """
    if not isinstance(entries, list):
        raise UserError(f"{source}: is not a list of COCO results")
    checks = PredictionChecks(images, classes)
    found = [checks.check(prediction, f"{source}: [{position}]") for position, prediction in enumerate(entries)]
    checks.finish(source)
    return found


def _check(prediction: Any, sizes: dict[Any, tuple[int, int]], entry: str) -> Json:
    if not isinstance(prediction, dict):
        raise UserError(f"{entry}: is not an object")
    image_id, value = prediction.get("image_id"), prediction.get("score")
    if not isinstance(image_id, str) and not _is_whole(image_id):
        raise UserError(f"{entry}: image_id {short(image_id)} is not an image of the ground truth")
    if image_id not in sizes:
        says = f"{short(image_id)} is not an image of the ground truth{say_twin(image_id, sizes)}"
        raise UserError(f"{entry}: image_id {says}")
    if not is_finite_number(value):
        raise UserError(f"{entry}: score {short(value)} is not a finite number")
    segmentation = prediction.get("segmentation")
    if segmentation is not None and segmentation != []:
        check_segmentation(segmentation, *sizes[image_id], entry)
    elif prediction.get("bbox") is None:
        raise UserError(f"{entry}: has no `bbox`")
    category = prediction.get("category_id", 1)
    if not _is_whole(category):
        raise UserError(f"{entry}: category_id {short(category)} is not an integer")
    found = normalize(prediction, sizes[image_id])
    if not isinstance(found["bbox"], list):
        raise UserError(f"{entry}: bbox {short(found['bbox'])} is not [x, y, width, height]")
    check_box(found["bbox"], entry)
    return found


def _check_class(prediction: Json, classes: Collection[int], entry: str) -> None:
    """Check the category of a prediction that is compared with the objects of this category alone."""
    if "category_id" not in prediction:
        raise UserError(f"{entry}: has no `category_id`, though classes are compared")
    if prediction["category_id"] not in classes:
        raise UserError(f"{entry}: category_id {short(prediction['category_id'])} is no category of the ground truth")


def _is_flat(box: Sequence[float]) -> bool:
    return not (box[2] and box[3])


def _is_whole(value: Any) -> TypeGuard[int]:
    """Tell whether a value is a whole number, which some tools write as 1.0."""
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return is_integer or (isinstance(value, float) and value.is_integer())
