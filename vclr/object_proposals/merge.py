"""Merge the object proposals of several sources: scores made comparable, duplicates and known objects removed.

Scores of different methods mean different things. What can be compared is how many proposals of its source are better:
the *rank* of a proposal is their number per image. As in reciprocal rank fusion (Cormack et al., 2009), a source gives
an object the weight

    HALF_RANK / (HALF_RANK + rank)

of its best proposal of this object, 0 if it has none, and an object's score is the mean over the sources. So what
several sources agree on comes first, then what one of them is sure of.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from vclr.coco.annotations import Json
from vclr.coco.prediction import Prediction
from vclr.coco.predictions import PredictionsFile
from vclr.object_proposals.choose import MAX_IOU, choose_distinct
from vclr.object_proposals.proposals_file import write_proposals_file
from vclr.object_proposals.shapes import overlap, shapes_of, shapes_of_annotations
from vclr.object_proposals.sources import KnownObjects, as_entry, info_of, list_images, open_source, plain_images
from vclr.progress import track

log = logging.getLogger("vclr.coco")

HALF_RANK = 10.0  # proposals per image at which a source's weight has fallen to half


def merge_proposals(
    paths: Sequence[Path],
    output: Path,
    annotations: Path | None = None,
    top_k: int = 30,
    max_iou: float = MAX_IOU,
    min_score: float | None = None,
    quiet: bool = False,
) -> str:
    """Merge files of proposals.

    The order of the files does not matter. The proposals of a single file keep their scores, so that it is only
    filtered. If only some files have masks, the boxes of the others become masks.

    Args:
        paths: COCO json files of proposals; with `annotations` also COCO results.
        output: the json to write; it appears whole or not at all.
        annotations: COCO json of known objects: its images are those of the output, and what it annotates is left out.
        top_k: the most proposals per image.
        max_iou: mask IoU, or box IoU if one has no mask, above which two proposals are one object.
        min_score: proposals with a lower score are left out, None for none; with several files, that is the score of
            the fusion.
        quiet: show no progress.

    Returns:
        The numbers of images and proposals, in words.

    Raises:
        UserError: a file is not valid, or the files have no image in common.
    """
    known = KnownObjects(annotations) if annotations else None
    images = plain_images(known.images) if known else list_images(paths)
    listing = annotations or paths[0]
    count = 0
    with ExitStack() as stack:
        sources = [stack.enter_context(open_source(path, images, listing)) for path in paths]
        sources.sort(key=lambda source: source.stream.sha256())
        fusion = Fusion(sources, len(images), max_iou)
        info = {
            **{"method": "merge", "top_k": top_k, "max_iou": max_iou, "min_score": min_score},
            "without": Path(annotations).name if annotations else None,
            "sources": [info_of(source) for source in sources],
        }

        def counted() -> Iterator[Json]:
            nonlocal count
            for image in track(images, "merging", quiet):
                objects = known.of_image(image["id"]) if known else []
                for entry in fusion.merge(image, objects, top_k, min_score):
                    count += 1
                    yield entry

        write_proposals_file(output, {"info": info, "images": images}, counted())
    return f"{output}: {count} proposals for {len(images)} images"


class Fusion:
    """The fusion of the proposals of several sources, image by image."""

    def __init__(self, sources: Sequence[PredictionsFile], num_images: int, max_iou: float = MAX_IOU) -> None:
        """Take the sources; all scores are read once."""
        self._sources, self._max_iou = sources, max_iou
        self._ranks = [Ranks(source, num_images) for source in sources]
        has_masks = {ranks.has_masks for ranks in self._ranks if ranks.has_masks is not None}
        self._fill_boxes = len(has_masks) > 1
        if self._fill_boxes:
            without = [str(one.path) for one, ranks in zip(sources, self._ranks, strict=True) if not ranks.has_masks]
            log.warning("%s: has no masks, the others do; its boxes become masks", ", ".join(sorted(without)))

    def merge(self, image: Json, known: Sequence[Json], top_k: int, min_score: float | None) -> Iterator[Json]:
        """Yield the merged proposals of an image, best first, as annotations."""
        size = image["height"], image["width"]
        found = [source.of_image(image["id"]) for source in self._sources]
        every = [one for some in found for one in some]
        shapes = shapes_of(every, size)
        are_same = overlap(shapes, shapes) > self._max_iou
        scores = self._score(found, are_same)
        order = sorted(range(len(every)), key=lambda place: (-scores[place], *_shape_of(every[place])))
        is_known = (overlap(shapes, shapes_of_annotations(known, size)) > self._max_iou).any(axis=1)
        is_out = is_known | (scores < (-np.inf if min_score is None else min_score))
        chosen = choose_distinct(are_same[np.ix_(order, order)], is_out[order], top_k)
        for rank in chosen:
            yield as_entry(every[order[rank]], size, float(scores[order[rank]]), self._fill_boxes)

    def _score(self, found: Sequence[Sequence[Prediction]], are_same: np.ndarray) -> np.ndarray:
        """Return the scores (n,) of all proposals of an image, source after source."""
        if len(found) == 1:
            return np.array([one.score for one in found[0]], dtype=np.float64)
        ends = np.cumsum([0, *map(len, found)])
        support = np.zeros((ends[-1], len(found)))
        for number, (some, ranks) in enumerate(zip(found, self._ranks, strict=True)):
            own = slice(ends[number], ends[number + 1])
            weights = ranks.weigh(np.array([one.score for one in some], dtype=np.float64))
            if len(some):
                support[:, number] = (are_same[:, own] * weights).max(axis=1)
            support[own, number] = weights
        return np.array([round(math.fsum(row) / len(found), 6) for row in support])  # in whatever order of the sources


class Ranks:
    """The scores of a source, and what they weigh.

    Attributes:
        has_masks: whether its proposals have masks; None if it has no proposals.
    """

    def __init__(self, source: PredictionsFile, num_images: int) -> None:
        self.has_masks: bool | None = None
        scores: list[np.ndarray] = [np.empty(0)]
        for _, found in source:
            scores.append(np.array([one.score for one in found], dtype=np.float64))
            self.has_masks = found[0].segmentation is not None
        self._ascending = np.sort(np.concatenate(scores))
        self._num_images = max(num_images, 1)

    def weigh(self, scores: np.ndarray) -> np.ndarray:
        """Return in (0, 1] what proposals with these scores weigh; of equal ones, half count as better."""
        better, equal = (
            len(self._ascending) - self._ascending.searchsorted(scores, side) for side in ("right", "left")
        )
        rank = (better + equal) / 2 / self._num_images
        return HALF_RANK / (HALF_RANK + rank)  # type: ignore[no-any-return]


def _shape_of(found: Prediction) -> tuple[Any, ...]:
    """Return what decides between proposals with equal scores: whatever is not the order of the sources."""
    return found.bbox, json.dumps(msgspec.to_builtins(found.segmentation))
