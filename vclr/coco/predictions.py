"""Predictions for the images of a data set: COCO results, or a COCO json whose annotations have scores."""

from __future__ import annotations

import logging
import math
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeGuard

from vclr.coco.checks import CocoChecks, Json, check_box, check_segmentation, say_twin
from vclr.coco.prediction import Prediction, are_boxes, are_inside, are_masks, as_prediction, normalize
from vclr.coco.prediction_index import Runs, index, index_in_processes, read_images
from vclr.coco.same_images import match_images
from vclr.coco.units import Units
from vclr.errors import UserError
from vclr.json_stream import JsonStream
from vclr.worker_pool import WorkerPool

log = logging.getLogger("vclr.coco")

ELSEWHERE = object()  # stands for the id of an image that is not in the data set
ByImage = Iterable[tuple[int | str, list[Prediction]]]


class PredictionChecks:
    """Check predictions for the images of a data set, one by one.

    Attributes:
        sizes: (height, width) of each image, by its id.
        units: collects evidence from all boxes and polygons.
        outside: the entries whose box lies outside of its image.
    """

    def __init__(self, images: list[Json]) -> None:
        self.sizes = {image["id"]: (image["height"], image["width"]) for image in images}
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
        self._has_masks |= has_masks
        self._without_mask = self._without_mask or ("" if has_masks else entry or "a prediction")
        return True

    def finish(self, source: str | Path) -> None:
        """Warn of boxes outside of their images, once all predictions are checked.

        Args:
            source: the name of the predictions in errors.

        Raises:
            UserError: the coordinates are not in pixels.
        """
        if says := self.units.say_shares():
            raise UserError(f"{source}: {says}")
        if not self.outside:
            return
        several = f"{len(self.outside)} boxes lie outside of their images"
        count = several if len(self.outside) > 1 else "1 box lies outside of its image"
        log.warning("%s: %s, the first one at %s", source, count, self.outside[0].removeprefix(f"{source}: "))

    @property
    def agree(self) -> bool:
        """Whether all predictions have a mask, or none has."""
        return not (self._has_masks and self._without_mask)

    def start_again(self) -> PredictionChecks:
        """Return checks for other predictions of the same data set."""
        again = PredictionChecks([])
        again.sizes = self.sizes
        return again

    def merge(self, other: PredictionChecks) -> None:
        """Take into account what other checks have accepted."""
        self.units.merge(other.units)
        self._has_masks |= other._has_masks
        self._without_mask = self._without_mask or other._without_mask


class PredictionsFile:
    """The predictions of a file, which were checked and can be read image by image.

    COCO results use the image ids of the data set. A COCO json with its own `images` also has its own ids: its images
    are matched by file name, and predictions for images outside of the data set are ignored.

    Attributes:
        stream: the entries of the file as they are.
        entries: the positions in the file of the predictions for each image: the start and the end of each sequence.
    """

    def __init__(
        self,
        path: str | Path,
        images: list[Json],
        annotations: str | Path,
        checks: PredictionChecks,
        pool: WorkerPool | None = None,
    ) -> None:
        """Open the file, and check it.

        Args:
            path: the file.
            images: `images` of the data set.
            annotations: the name of the data set in errors.
            checks: checks of the same data set, which several files may share.
            pool: processes that share the work; none by default.

        Raises:
            UserError: the file or one of its entries is not valid, or none of its images is in the data set.
        """
        self.path, self.sizes = path, checks.sizes
        self.entries: dict[int | str, array[int]] = {}
        self.stream = JsonStream(path, "annotations")
        try:
            self._index(path, images, annotations, checks, pool or WorkerPool())
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
        return read_images(self.stream, self.entries.items(), self.sizes)

    def of_image(self, image_id: int | str) -> list[Prediction]:
        """Return the predictions for an image of the data set, all with a box."""
        places = [(image_id, self.entries[image_id])] if image_id in self.entries else []
        return [one for _, found in read_images(self.stream, places, self.sizes) for one in found]

    @property
    def can_be_shared(self) -> bool:
        """Whether other processes can call `read_images` with a stream of their own."""
        return self.stream.has_blocks and Path(self.path).is_file()

    def _index(
        self, path: str | Path, images: list[Json], annotations: str | Path, checks: PredictionChecks, pool: WorkerPool
    ) -> None:
        head, source = self.stream.head, f"{path}: "
        if not self.stream.has_list:
            other = " nor a COCO json with scores" if isinstance(head, dict) else ""
            raise UserError(f"{path}: is {'neither' if other else 'not'} a list of COCO results{other}")
        renumber: Callable[[int, Any], Any] | None = None
        if isinstance(head, dict):
            source += "annotations"
            if isinstance(head.get("images"), list):
                renumber = _match(head["images"], path, images, annotations)
        if self.stream.has_blocks:
            found = index_in_processes(path, self.stream, checks, pool) if self.can_be_shared else None
            self.entries = (found or index(self.stream, checks, source)).by_image()
            return
        runs = Runs()
        for position, (start, stop, prediction) in enumerate(self.stream):
            image_id = renumber(position, prediction) if renumber else None
            if image_id is ELSEWHERE:
                runs.skip()
                continue
            if renumber:
                prediction = {**prediction, "image_id": image_id}
            runs.add(checks.check(prediction, f"{source}[{position}]")["image_id"], start, stop)
        self.entries = runs.by_image()


def read_predictions(
    path: str | Path, images: list[Json], annotations: str | Path, pool: WorkerPool | None = None
) -> PredictionsFile:
    """Open a file of predictions and check all of it; see `PredictionsFile` and `PredictionChecks.finish`."""
    checks = PredictionChecks(images)
    found = PredictionsFile(path, images, annotations, checks, pool)
    try:
        checks.finish(path)
    except UserError:
        found.close()
        raise
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
        UserError: it is not a list, an entry is not valid, only some entries have a segmentation, or the coordinates
            are not in pixels.
    """
    if not isinstance(entries, list):
        raise UserError(f"{source}: is not a list of COCO results")
    checks = PredictionChecks(images)
    found = [checks.check(prediction, f"{source}: [{position}]") for position, prediction in enumerate(entries)]
    checks.finish(source)
    return found


def group_by_image(predictions: list[Json]) -> ByImage:
    """Return the id of each image that has predictions, and its predictions, which `check_predictions` returned."""
    groups: dict[int | str, list[Prediction]] = defaultdict(list)
    for prediction in predictions:
        groups[prediction["image_id"]].append(as_prediction(prediction))
    return groups.items()


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
    if not isinstance(image_id, str) and not _is_whole(image_id):
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
    found = normalize(prediction, sizes[image_id])
    if not isinstance(found["bbox"], list):
        raise UserError(f"{entry}: bbox {found['bbox']!r} is not [x, y, width, height]")
    check_box(found["bbox"], entry)
    if not _is_whole(found["category_id"]):
        raise UserError(f"{entry}: category_id {found['category_id']!r} is not an integer")
    return found


def _is_whole(value: Any) -> TypeGuard[int]:
    """Tell whether a value is a whole number, which some tools write as 1.0."""
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return is_integer or (isinstance(value, float) and value.is_integer())
