"""A photo and the objects found in it, as every format writes them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from vclr.coco.annotations import Json, encode_mask, to_mask, to_rle
from vclr.coco.rle import decode_counts
from vclr.pre_annotations.outline import find_outline
from vclr.structures import Predictions, Size


@dataclass(frozen=True)
class FoundObject:
    """An object.

    Attributes:
        score: in [0, 1].
        rle: its mask, compressed, `counts` as text.
        polygon: one polygon [x, y, x, y, ...] that shows the mask well; None if no single polygon does.
        box: (left, top, width, height) of the mask in whole pixels.
        number: its place among all objects of the photo in the json of `vclr predict`, from 1.
    """

    score: float
    rle: Json
    polygon: list[float] | None
    box: tuple[int, int, int, int]
    number: int = 0

    @property
    def points(self) -> list[list[float]]:
        """The polygon's points [x, y]."""
        flat = self.polygon or []
        return [list(point) for point in zip(flat[::2], flat[1::2], strict=True)]

    @property
    def segmentation(self) -> Any:
        """The polygon or the mask, as in COCO."""
        return [self.polygon] if self.polygon else self.rle

    def mask(self) -> np.ndarray:
        """Return the (h, w) uint8 mask."""
        return to_mask(self.rle, *self.rle["size"])

    def crop(self) -> np.ndarray:
        """Return the part of the mask within the box."""
        left, top, width, height = self.box
        return self.mask()[top : top + height, left : left + width]


@dataclass(frozen=True)
class FoundPhoto:
    """A photo with its objects, best first.

    Attributes:
        path: absolute.
        file_name: path below the folder that holds all photos, with slashes.
        height: in pixels, upright.
        width: in pixels, upright.
        objects: the objects.
    """

    path: Path
    file_name: str
    height: int
    width: int
    objects: list[FoundObject]


@dataclass(frozen=True)
class Naming:
    """How the files name things.

    Attributes:
        label: the class of all objects.
        photo_url: for Label Studio, what stands before a photo's `file_name`; if empty, the local files of the machine.
    """

    label: str
    photo_url: str = ""


def take_objects(path: Path, file_name: str, found: Predictions, chosen: Sequence[int], size: Size) -> FoundPhoto:
    """Return a photo of (height, width) `size` with the chosen ones of its predictions, whose masks are not empty."""
    objects = [_take_object(float(found.scores[index]), found.mask(index), index + 1) for index in chosen]
    return FoundPhoto(Path(os.path.abspath(path)), file_name, *size, objects)


def _take_object(score: float, mask: np.ndarray, number: int) -> FoundObject:
    rle = encode_mask(mask)
    left, top, width, height = map(int, coco_mask.toBbox(to_rle(rle, *mask.shape)))
    return FoundObject(round(score, 6), rle, find_outline(mask, rle), (left, top, width, height), number)


def row_lengths(mask: np.ndarray) -> list[int]:
    """Return the run lengths of an (h, w) mask row by row, zeros first; COCO's own go column by column."""
    rle = coco_mask.encode(np.asfortranarray(mask.T, dtype=np.uint8))
    lengths: list[int] = decode_counts([rle["counts"]])[0].tolist()
    return lengths
