"""Object proposals join the known annotations of a training set, all as one class (paper section 3.2).

The proposals stay text: only their boxes and scores are read of all, and the rest of those that are chosen.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from vclr.coco.annotations import as_object
from vclr.coco.checks import Json, check_numbers_of_box, say_twin
from vclr.coco.file import CocoFile, open_coco
from vclr.coco.same_images import match_images
from vclr.coco.unusable import Verdict, find_unusable, remove_unusable_polygons
from vclr.errors import UserError
from vclr.object_proposals.choose import MAX_IOU, choose_proposals, read_score

log = logging.getLogger("vclr.coco")


class BoxTable:
    """Boxes of many images with scores, in 48 bytes per box; collected in any order, returned image by image."""

    def __init__(self) -> None:
        self._owners = array("q")
        self._values = array("d")

    def add(self, owner: int, box: list[float], score: float = 0.0) -> None:
        """Add a box of the image with the number `owner`."""
        self._owners.append(owner)
        self._values.extend((*box, score))

    def by_owner(self, count: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield for each image, from 0 on, the positions of its boxes among all, (n, 4) boxes and (n,) scores."""
        owners = np.frombuffer(self._owners, dtype=np.int64) if self._owners else np.empty(0, np.int64)
        values = np.frombuffer(self._values, dtype=np.float64) if self._owners else np.empty(0)
        order = np.argsort(owners, kind="stable")
        ends = np.searchsorted(owners[order], np.arange(count + 1))
        rows = values.reshape(-1, 5)
        for start, stop in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            positions = order[start:stop]
            yield positions, rows[positions, :4], rows[positions, 4]


class Candidate(msgspec.Struct, gc=False):
    """What a proposal is chosen by. Run lengths, most of its text, are read only once it is chosen."""

    id: int | str
    image_id: int | str
    bbox: list[float]
    score: Any = None
    segmentation: msgspec.Raw = msgspec.Raw(b"null")

    def read_polygons(self) -> Any:
        """Decode the polygons, which tell whether the proposal is usable; None for run lengths."""
        text = bytes(self.segmentation)
        return msgspec.json.decode(text) if text.startswith(b"[") else None


@dataclass
class ChosenProposals:
    """Proposals of a file that were chosen: their positions in it, and the image that each joins."""

    source: CocoFile
    positions: list[int]
    image_ids: list[Any]

    def read_entries(self) -> Iterator[Json]:
        """Yield them as they stand in the file, without unusable polygons."""
        return map(remove_unusable_polygons, CocoFile(self.source.path, {}, self.texts()).read_annotations())

    def texts(self) -> list[msgspec.Raw]:
        """Return their text in the file."""
        return [self.source.annotations[position] for position in self.positions]

    def read(self, first_id: int) -> Iterator[Json]:
        """Yield them as annotations of the category `object`, numbered from `first_id`."""
        for number, (proposal, image_id) in enumerate(zip(self.read_entries(), self.image_ids, strict=True)):
            yield {**as_object(proposal), "id": first_id + number, "image_id": image_id}


def choose_from_file(
    path: str | Path,
    images: list[Json],
    known: Iterable[np.ndarray],
    top_k: int,
    annotations: str | Path,
    max_iou: float = MAX_IOU,
) -> ChosenProposals:
    """Choose the `top_k` best proposals of each image that are not annotated objects already.

    Proposals for other images are ignored; images without proposals are counted in a warning.

    Args:
        path: COCO json of proposals, each with a `score`; its images are found by file name.
        images: the images of the training set.
        known: for each of them the (m, 4) boxes of its annotations, [x, y, width, height].
        top_k: the most proposals chosen per image.
        annotations: what errors call the file of the training set.
        max_iou: box IoU with an annotation, or with a better proposal, above which a proposal is left out.

    Raises:
        UserError: the files have no image in common, or give one in two sizes; a box or score is not usable; or a
            chosen proposal is not a sound annotation.
    """
    source = open_coco(path)
    checks = source.check_images()
    same = match_images(source.images, path, images, annotations)
    if same.num_common < len(images):
        log.warning("%s: has only %d of the %d images of %s", path, same.num_common, len(images), annotations)
    candidates, file_positions = BoxTable(), array("q")
    for position, (candidate, polygons) in enumerate(_read_candidates(source)):
        place = f"annotations[{position}] (id {candidate.id})"
        entry = f"{path}: {place}"
        check_numbers_of_box(candidate.bbox, entry)
        if candidate.image_id not in checks.sizes:
            twin = say_twin(candidate.image_id, checks.sizes)
            raise UserError(f"{entry}: image {candidate.image_id!r} is not in `images`{twin}")
        verdict = Verdict(place, *find_unusable(candidate.bbox, polygons))
        checks.dropped.add(verdict)
        if not verdict.is_kept:
            continue
        if checks.units.are_open:
            checks.units.add({"bbox": candidate.bbox}, checks.sizes[candidate.image_id])
        score = read_score(candidate.score, entry)
        for owner in same.positions.get(candidate.image_id, ()):
            candidates.add(owner, candidate.bbox, score)
            file_positions.append(position)
    checks.finish(len(source.annotations))
    chosen = ChosenProposals(source, [], [])
    for image, (rows, boxes, scores), annotated in zip(images, candidates.by_owner(len(images)), known, strict=True):
        for number in choose_proposals(boxes, scores, annotated, top_k, max_iou):
            chosen.positions.append(file_positions[rows[number]])
            chosen.image_ids.append(image["id"])
    for position, proposal in zip(chosen.positions, chosen.read_entries(), strict=True):
        checks.check_annotation(position, proposal)
    return chosen


def _read_candidates(source: CocoFile) -> Iterator[tuple[Candidate, Any]]:
    """Yield each proposal and its polygons, if it has some."""
    decode = msgspec.json.Decoder(Candidate).decode
    for position, text in enumerate(source.annotations):
        try:
            candidate = decode(text)
            polygons = candidate.read_polygons()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UserError(f"{source.path}: annotations[{position}]: is not an object proposal: {error}") from None
        yield candidate, polygons
