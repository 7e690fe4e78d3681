"""Predictions for the images of a data set: COCO results, or a COCO json whose annotations have scores."""

from __future__ import annotations

import logging
import math
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from vclr.coco.annotations import to_rle
from vclr.coco.checks import MAX_COORDINATE, CocoChecks, Json, check_box, check_segmentation, say_twin
from vclr.coco.rle import count_pixels
from vclr.coco.same_images import match_images
from vclr.coco.units import Units
from vclr.errors import UserError
from vclr.json_stream import JsonStream

log = logging.getLogger("vclr.coco")

ELSEWHERE = object()  # stands for the id of an image that is not in the data set
FEW = 500  # masks whose run lengths are counted at once: with more, the arrays outgrow the CPU's cache


class Rle(msgspec.Struct):
    """Run lengths of a mask: (height, width), and compressed counts, or the lengths themselves."""

    size: tuple[int, int]
    counts: str | list[int]


class Prediction(msgspec.Struct):
    """A prediction: its image, its score, a box (xywh absolute) or a mask or both, and a category."""

    image_id: int | str
    score: float
    bbox: tuple[float, float, float, float] | None = None
    segmentation: Rle | list[list[float]] | None = None
    category_id: int = 1


ByImage = Iterable[tuple[int | str, list[Prediction]]]
_decode = msgspec.json.Decoder(list[Prediction]).decode


class PredictionChecks:
    """Check predictions for the images of a data set, one by one.

    Attributes:
        sizes: (height, width) of each image, by its id.
        units: collects evidence from all boxes and polygons.
    """

    def __init__(self, images: list[Json]) -> None:
        self.sizes = {image["id"]: (image["height"], image["width"]) for image in images}
        self.units = Units()
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
        if self.units.are_open:
            self.units.add(found, self.sizes[found["image_id"]])
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
            Whether all are valid; otherwise none is taken into account, and `check` says about each whether it is.
        """
        sizes = [self.sizes.get(one.image_id) for one in found]
        masks = [one.segmentation for one in found]
        boxes = [one.bbox for one in found if one.bbox is not None]
        has_masks = masks[0] is not None
        if None in sizes or (self._without_mask if has_masks else self._has_masks) or not _are_boxes(boxes):
            return False
        if not (_are_masks(masks, sizes) if has_masks else masks.count(None) == len(boxes) == len(found)):
            return False
        for one, size in zip(found, sizes, strict=True):
            if self.units.are_open:
                if one.bbox is None:
                    return False
                self.units.add({"bbox": one.bbox, "segmentation": has_masks or None}, size)
        self._has_masks |= has_masks
        self._without_mask = self._without_mask or ("" if has_masks else entry)
        return True


class PredictionsFile:
    """The predictions of a file, which were checked and can be read image by image.

    COCO results use the image ids of the data set. A COCO json with its own `images` also has its own ids: its images
    are matched by file name, and predictions for images outside of the data set are ignored.

    Attributes:
        stream: the entries of the file as they are.
        entries: the positions in the file of the predictions for each image: the start and the end of each sequence.
    """

    def __init__(self, path: str | Path, images: list[Json], annotations: str | Path, checks: PredictionChecks) -> None:
        """Open the file, and check it.

        Args:
            path: the file.
            images: `images` of the data set.
            annotations: the name of the data set in errors.
            checks: checks of the same data set, which several files may share.

        Raises:
            UserError: the file or one of its entries is not valid, or none of its images is in the data set.
        """
        self.entries: dict[int | str, array[int]] = defaultdict(lambda: array("q"))
        self.stream = JsonStream(path, "annotations")
        try:
            self._index(path, images, annotations, checks)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> PredictionsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.stream.close()

    def __iter__(self) -> Iterator[tuple[int | str, list[Prediction]]]:
        """Yield the id of each image that has predictions, and these, all with a box."""
        for image_id in self.entries:
            yield image_id, self.of_image(image_id)

    def of_image(self, image_id: int | str) -> list[Prediction]:
        """Return the predictions for an image, all with a box."""
        places = self.entries[image_id]
        spans = list(zip(places[::2], places[1::2], strict=True))
        size = self._sizes[image_id]
        if self.stream.has_blocks:
            text = b",".join(self.stream.read_text(start, stop) for start, stop in spans)
            try:
                return [_complete(one, size) for one in _decode(b"[" + text + b"]")]
            except msgspec.DecodeError:  # something that is valid, but seldom: a number as large as text ...
                pass
        entries = (entry for start, stop in spans for entry in self.stream.read(start, stop))
        return [_to_prediction({**entry, "image_id": image_id}, size) for entry in entries]

    def _index(self, path: str | Path, images: list[Json], annotations: str | Path, checks: PredictionChecks) -> None:
        head, source, self._sizes = self.stream.head, f"{path}: ", checks.sizes
        if not self.stream.has_list:
            other = " nor a COCO json with scores" if isinstance(head, dict) else ""
            raise UserError(f"{path}: is {'neither' if other else 'not'} a list of COCO results{other}")
        renumber: Callable[[int, Any], Any] | None = None
        if isinstance(head, dict):
            source += "annotations"
            if isinstance(head.get("images"), list):
                renumber = _match(head["images"], path, images, annotations)
        self._last: Any = ELSEWHERE
        if self.stream.has_blocks:
            self._index_blocks(source, checks)
            return
        for position, (start, stop, prediction) in enumerate(self.stream):
            image_id = renumber(position, prediction) if renumber else None
            if image_id is not ELSEWHERE:
                if renumber:
                    prediction = {**prediction, "image_id": image_id}
                image_id = checks.check(prediction, f"{source}[{position}]")["image_id"]
            self._add(image_id, start, stop)

    def _index_blocks(self, source: str, checks: PredictionChecks) -> None:
        position = 0
        for block in self.stream.blocks():
            found = _decode_all(block.text)
            if len(found) == len(block.starts) and checks.accept(found, f"{source}[{position}]"):
                for one, start, stop in zip(found, block.starts, block.stops, strict=True):
                    self._add(one.image_id, start, stop)
                position += len(found)
                continue
            for start, stop, entry in self.stream.entries_of(block):
                self._add(checks.check(entry, f"{source}[{position}]")["image_id"], start, stop)
                position += 1

    def _add(self, image_id: Any, start: int, stop: int) -> None:
        if image_id is not ELSEWHERE:
            if image_id == self._last:
                self.entries[image_id][-1] = stop
            else:
                self.entries[image_id].extend((start, stop))
        self._last = image_id


def read_predictions(path: str | Path, images: list[Json], annotations: str | Path) -> PredictionsFile:
    """Open and check a file of predictions, also whether its coordinates are in pixels; see `PredictionsFile`."""
    checks = PredictionChecks(images)
    found = PredictionsFile(path, images, annotations, checks)
    if says := checks.units.say_shares():
        found.close()
        raise UserError(f"{path}: {says}")
    return found


def check_predictions(entries: Any, images: list[Json], source: str) -> list[Json]:
    """Check predictions for the images of a data set.

    Args:
        entries: see `PredictionChecks.check`.
        images: `images` of the data set.
        source: the name of the predictions in errors.

    Returns:
        The predictions as `PredictionChecks.check` returns them.

    Raises:
        UserError: it is not a list, an entry is not valid, or only some entries have a segmentation.
    """
    if not isinstance(entries, list):
        raise UserError(f"{source}: is not a list of COCO results")
    checks = PredictionChecks(images)
    return [checks.check(prediction, f"{source}: [{position}]") for position, prediction in enumerate(entries)]


def group_by_image(predictions: list[Json]) -> ByImage:
    """Return the id of each image that has predictions, and its predictions, which `check_predictions` returned."""
    groups: dict[int | str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        groups[prediction["image_id"]].append(as_prediction(prediction))
    return groups.items()


def as_prediction(found: Json) -> Prediction:
    """Return a prediction as `PredictionChecks.check` returned it, or as the detector makes it, in its own class."""
    mask = found["segmentation"]
    if isinstance(mask, dict):
        mask = Rle(tuple(mask["size"]), mask["counts"])
    return Prediction(found["image_id"], found["score"], tuple(found["bbox"]), mask, found["category_id"])


def _match(
    others: list[Json], path: str | Path, images: list[Json], annotations: str | Path
) -> Callable[[int, Any], Any]:
    """Match the images of a json by file name.

    Returns:
        A function of the position and an annotation: the id of its image in the data set, ELSEWHERE for other images.
    """
    checks = CocoChecks(path, [])
    for position, image in enumerate(others):
        checks.check_image(position, image)
    same = match_images(others, path, images, annotations)
    if same.num_others:
        log.warning("%s: %d images are not in %s; they are ignored", path, same.num_others, annotations)

    def renumber(position: int, prediction: Any) -> Any:
        image_id = prediction.get("image_id") if isinstance(prediction, dict) else None
        if not isinstance(image_id, (int, str)) or image_id not in checks.sizes:
            twin = say_twin(image_id, checks.sizes) if isinstance(image_id, (int, str)) else ""
            raise UserError(f"{path}: annotations[{position}]: image {image_id!r} is not in `images`{twin}")
        places = same.positions.get(image_id, [])
        if len(places) > 1:
            names = " and ".join(f"images[{place}]" for place in places[:2])
            file_name = images[places[0]]["file_name"]
            raise UserError(f"{annotations}: {names} are both {file_name}, so predictions of {path} are ambiguous")
        return images[places[0]]["id"] if places else ELSEWHERE

    return renumber


def _check(prediction: Any, sizes: dict[Any, tuple[int, int]], entry: str) -> Json:
    if not isinstance(prediction, dict):
        raise UserError(f"{entry}: is not an object")
    image_id, value = prediction.get("image_id"), prediction.get("score")
    if not isinstance(image_id, (int, str)) or isinstance(image_id, bool):
        raise UserError(f"{entry}: image_id {image_id!r} is not an image of the ground truth")
    if image_id not in sizes:
        says = f"{image_id!r} is not an image of the ground truth{say_twin(image_id, sizes)}"
        raise UserError(f"{entry}: image_id {says}")
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise UserError(f"{entry}: score {value!r} is not a finite number")
    segmentation = prediction.get("segmentation")
    if segmentation is not None and segmentation != []:
        check_segmentation(segmentation, *sizes[image_id], entry)
    elif prediction.get("bbox") is None:
        raise UserError(f"{entry}: has no `bbox`")
    found = _normalize(prediction, sizes[image_id])
    if not isinstance(found["bbox"], list):
        raise UserError(f"{entry}: bbox {found['bbox']!r} is not [x, y, width, height]")
    check_box(found["bbox"], entry)
    if not isinstance(found["category_id"], int):
        raise UserError(f"{entry}: category_id {found['category_id']!r} is not an integer")
    return found


def _normalize(prediction: Json, size: tuple[int, int]) -> Json:
    """Return the parts of a valid prediction that count; a missing box is taken from the mask."""
    box, segmentation = prediction.get("bbox"), prediction.get("segmentation")
    if segmentation == []:
        segmentation = None  # data sets of boxes write it like this
    if box is None:
        box = coco_mask.toBbox(to_rle(segmentation, *size)).tolist()
    kept = {"image_id": prediction["image_id"], "category_id": prediction.get("category_id", 1)}
    return {**kept, "score": prediction["score"], "bbox": box, "segmentation": segmentation}


def _to_prediction(entry: Json, size: tuple[int, int]) -> Prediction:
    return as_prediction(_normalize(entry, size))


def _complete(found: Prediction, size: tuple[int, int]) -> Prediction:
    """Do what `_normalize` does, in place."""
    if found.bbox is None or found.segmentation == []:
        return _to_prediction(msgspec.to_builtins(found), size)
    return found


def _decode_all(text: bytes) -> list[Prediction]:
    """Decode a block; return an empty list if it is not valid, or if its decoding may hide an error."""
    try:
        return _decode(b"[" + text + b"]") if text.isascii() else []
    except (msgspec.DecodeError, RecursionError):
        return []


def _are_boxes(boxes: list[tuple[float, ...]]) -> bool:
    """Tell whether `check_box` accepts all of them."""
    numbers = np.array(boxes, float).reshape(-1, 4)
    return bool((np.abs(numbers) <= MAX_COORDINATE).all() and (numbers[:, 2:] >= 0).all())


def _are_masks(masks: list[Any], sizes: list[Any]) -> bool:
    """Tell whether all are compressed run lengths, each as long as its image is large."""
    if not all(type(one) is Rle and type(one.counts) is str and one.size == size for one, size in zip(masks, sizes, strict=True)):
        return False
    for first in range(0, len(masks), FEW):
        part = slice(first, first + FEW)
        if (count_pixels([one.counts for one in masks[part]]) != [h * w for h, w in sizes[part]]).any():
            return False
    return True
