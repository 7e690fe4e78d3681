"""Predictions for the images of a data set: COCO results, or a COCO json whose annotations have scores."""

from __future__ import annotations

import logging
from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vclr.coco.checks import CocoChecks, Json, say_twin
from vclr.coco.prediction import Prediction, as_prediction
from vclr.coco.prediction_checks import PredictionChecks
from vclr.coco.prediction_index import Runs, index, index_in_processes, read_images
from vclr.coco.same_images import match_images
from vclr.errors import UserError
from vclr.json_stream import JsonStream
from vclr.worker_pool import WorkerPool

log = logging.getLogger("vclr.coco")

ELSEWHERE = object()  # stands for the id of an image that is not in the data set
ByImage = Iterable[tuple[int | str, list[Prediction]]]
S = TypeVar("S")
R = TypeVar("R")

IMAGES = 64  # that a process goes through at once


class PredictionsFile:
    """The predictions of a file, which were checked and can be read image by image.

    COCO results use the image ids of the data set. A COCO json with its own `images` also has its own ids: its images
    are matched by file name, and predictions for images outside of the data set are ignored.

    Attributes:
        stream: the entries of the file as they are.
        entries: the positions in the file of the predictions for each image: the start and the end of each sequence.
        num_unscored: the number of annotations that were left out for want of a score.
    """

    def __init__(
        self,
        path: str | Path,
        images: list[Json],
        annotations: str | Path,
        checks: PredictionChecks,
        pool: WorkerPool | None = None,
        only_scored: bool = False,
    ) -> None:
        """Open the file, and check it.

        Args:
            path: the file.
            images: `images` of the data set.
            annotations: the name of the data set in errors.
            checks: checks of the same data set, which several files may share.
            pool: processes that share the work; none by default.
            only_scored: leave out the annotations of a COCO json that have no `score`, and count them: published files
                hold known annotations beside object proposals.

        Raises:
            UserError: the file or one of its entries is not valid, or none of its images is in the data set.
        """
        self.path, self.sizes = path, checks.sizes
        self.num_unscored, self._only_scored = 0, only_scored
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

    def map_images(
        self, function: Callable[[S, ByImage], R], shared: S, description: str, pool: WorkerPool | None = None
    ) -> Iterator[R]:
        """Yield `function(shared, images)` for blocks of the images; the processes of `pool` share them if they can."""
        if pool is None or not self.can_be_shared:
            yield function(shared, self)
            return
        needed, items = (function, shared, self.path, self.sizes), list(self.entries.items())
        yield from pool.map_blocks(_map_block, needed, items, IMAGES, description)

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
        if self.stream.has_blocks:  # a list of results, which all have scores
            found = index_in_processes(path, self.stream, checks, pool) if self.can_be_shared else None
            self.entries = (found or index(self.stream, checks, source)).by_image()
            return
        runs = Runs()
        for position, (start, stop, prediction) in enumerate(self.stream):
            if self._only_scored and isinstance(prediction, dict) and prediction.get("score") is None:
                self.num_unscored += 1
                runs.skip()
                continue
            image_id = renumber(position, prediction) if renumber else None
            if image_id is ELSEWHERE:
                runs.skip()
                continue
            if renumber:
                prediction = {**prediction, "image_id": image_id}
            runs.add(checks.check(prediction, f"{source}[{position}]")["image_id"], start, stop)
        self.entries = runs.by_image()


def _map_block(
    needed: tuple[Callable[[S, ByImage], R], S, Path, dict[Any, tuple[int, int]]],
    _: int,
    places: Sequence[tuple[int | str, array[int]]],
) -> R:
    function, shared, path, sizes = needed
    with JsonStream(path, "annotations") as stream:
        return function(shared, read_images(stream, places, sizes))


def read_predictions(
    path: str | Path,
    images: list[Json],
    annotations: str | Path,
    pool: WorkerPool | None = None,
    classes: Collection[int] | None = None,
) -> PredictionsFile:
    """Open a file of predictions and check all of it; see `PredictionsFile` and `PredictionChecks`."""
    checks = PredictionChecks(images, classes)
    found = PredictionsFile(path, images, annotations, checks, pool)
    try:
        checks.finish(path)
    except UserError:
        found.close()
        raise
    if not found.entries:
        log.warning("%s: holds no predictions; everything counts as missed", path)
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
