"""Where the predictions for each image are in a file: found block by block, or by several processes."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vclr.coco.checks import Json
from vclr.coco.prediction import Prediction, as_prediction, decode, normalize
from vclr.json_stream import Block, JsonStream
from vclr.worker_pool import MIN_BLOCKS, WorkerPool

if TYPE_CHECKING:
    from vclr.coco.prediction_checks import PredictionChecks

Places = Iterable[tuple[int | str, "array[int]"]]

SHARE = 8 << 20  # bytes of a file that a process goes through at once


@dataclass
class Runs:
    """Runs of predictions for the same image, in the order of the file: the image's id, and where the run is."""

    image_ids: list[int | str] = field(default_factory=list)
    places: array[int] = field(default_factory=lambda: array("q"))  # start and stop of each run
    last: Any = None

    def add(self, image_id: int | str, start: int, stop: int) -> None:
        """Add a prediction."""
        if image_id == self.last and self.image_ids:
            self.places[-1] = stop
        else:
            self.image_ids.append(image_id)
            self.places.extend((start, stop))
        self.last = image_id

    def skip(self) -> None:
        """End the run, because the next prediction does not count."""
        self.last = None

    def by_image(self) -> dict[int | str, array[int]]:
        """Return the starts and stops of each image's runs."""
        found: dict[int | str, array[int]] = {}
        for number, image_id in enumerate(self.image_ids):
            found.setdefault(image_id, array("q")).extend(self.places[2 * number : 2 * number + 2])
        return found


def index(stream: JsonStream, checks: PredictionChecks, source: str) -> Runs:
    """Check all predictions of a file that can be read in blocks; an error begins with `source`."""
    runs, position = Runs(), 0
    for block in stream.blocks():
        if _add_block(block, checks, f"{source}[{position}]", runs):
            position += len(block.starts)
            continue
        for start, stop, entry in stream.entries_of(block):  # they name what is wrong
            runs.add(checks.check(entry, f"{source}[{position}]")["image_id"], start, stop)
            position += 1
    return runs


def index_in_processes(path: str | Path, stream: JsonStream, checks: PredictionChecks, pool: WorkerPool) -> Runs | None:
    """Do the same in several processes; return None if the file is small, or if not all of it is beyond doubt."""
    starts, runs = stream.find_starts(SHARE) if pool.num_workers > 1 else [], Runs()
    spans = list(pairwise(starts))
    if len(spans) < MIN_BLOCKS:
        return None
    seen = checks.start_again()  # so that nothing is left of it in `checks` if the file is gone through again
    for found in pool.map_blocks(_index_span, (path, checks), spans, 1, "read predictions"):
        if found is None:
            return None
        part, own = found
        for number, image_id in enumerate(part.image_ids):
            runs.add(image_id, *part.places[2 * number : 2 * number + 2])
        seen.merge(own)
    if not seen.agree:
        return None
    checks.merge(seen)
    return runs if checks.agree else None


def _index_span(
    shared: tuple[Path, PredictionChecks], _: int, spans: Sequence[tuple[int, int]]
) -> tuple[Runs, PredictionChecks] | None:
    """Check the predictions in a part of the file."""
    path, checks = shared
    seen, runs = checks.start_again(), Runs()
    with JsonStream(path, "annotations") as stream:
        if not all(_add_block(block, seen, "", runs) for block in stream.blocks(*spans[0])):
            return None
    seen.sizes = {}  # the other process has them
    return runs, seen


def _add_block(block: Block, checks: PredictionChecks, entry: str, runs: Runs) -> bool:
    """Check the predictions of a block, of which errors call the first one `entry`; tell whether they were added."""
    found = decode(block.text)
    if not found or len(found) != len(block.starts) or not checks.accept(found, entry):
        return False
    for one, start, stop in zip(found, block.starts, block.stops, strict=True):
        runs.add(one.image_id, start, stop)
    return True


def read_images(
    stream: JsonStream, places: Places, sizes: dict[Any, tuple[int, int]]
) -> Iterator[tuple[int | str, list[Prediction]]]:
    """Yield images and the predictions for each, which are at these places and were checked; all have a box."""
    for image_id, starts_and_stops in places:
        spans, size = zip(starts_and_stops[::2], starts_and_stops[1::2], strict=True), sizes[image_id]
        texts = (stream.read_text(start, stop) for start, stop in spans)
        found = decode(b",".join(texts)) if stream.has_blocks else None
        if found is not None:
            yield image_id, [one.complete(size) for one in found]
        else:
            entries = _read_entries(stream, starts_and_stops, image_id, size)
            yield image_id, [as_prediction(entry) for entry in entries]


def _read_entries(
    stream: JsonStream, starts_and_stops: Sequence[int], image_id: int | str, size: tuple[int, int]
) -> list[Json]:
    """Return the predictions for an image as `PredictionChecks.check` returned them."""
    spans = zip(starts_and_stops[::2], starts_and_stops[1::2], strict=True)
    found = (entry for start, stop in spans for entry in stream.read(start, stop))
    return [normalize({**entry, "image_id": image_id}, size) for entry in found]
