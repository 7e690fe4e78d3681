"""Masks of an image's objects, each stored only inside its bounding box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as coco_mask

from vclr.coco.annotations import Json
from vclr.coco.rle import decode_counts
from vclr.data.polygons import Polygons
from vclr.structures import Size


@dataclass(frozen=True)
class ObjectMasks:
    """Masks without their empty surroundings: a tenth of the bytes to send from a worker to the training.

    Attributes:
        size: (height, width) of the whole masks.
        windows: (n, 4) int64 left, top, width and height of each mask's bounding box; zeros for an empty mask.
        pixels: uint8 of zeros and ones, window after window, each column by column as COCO's run lengths go.
    """

    size: Size
    windows: np.ndarray
    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.windows)

    def whole(self) -> np.ndarray:
        """Return (n, h, w) uint8, laid out column by column."""
        height, width = self.size
        masks = np.zeros((len(self), width, height), np.uint8)
        for mask, (left, top, across, down), window in zip(masks, self.windows.tolist(), self.split(), strict=True):
            mask[left : left + across, top : top + down] = window.reshape(across, down)
        return masks.transpose(0, 2, 1)

    def split(self) -> list[np.ndarray]:
        """Return the pixels of each window."""
        ends = (self.windows[:, 2] * self.windows[:, 3]).cumsum().tolist()
        return [self.pixels[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def join_masks(parts: Sequence[ObjectMasks], order: np.ndarray, size: Size) -> ObjectMasks:
    """Join masks of one size; the result's first mask is number `order[0]` of all."""
    windows = np.concatenate([part.windows for part in parts])[order]
    pixels = [window for part in parts for window in part.split()]
    return ObjectMasks(size, windows, np.concatenate([np.empty(0, np.uint8), *(pixels[number] for number in order)]))


def no_masks(size: Size) -> ObjectMasks:
    """Return an empty set of masks."""
    return ObjectMasks(size, np.empty((0, 4), np.int64), np.empty(0, np.uint8))


def draw_polygons(polygons: Polygons, size: Size) -> tuple[np.ndarray, ObjectMasks]:
    """Rasterize polygons.

    Returns:
        The objects that have polygons, ascending, and their masks, which are empty if an object covers no pixel.
    """
    if not len(polygons):
        return np.empty(0, np.int64), no_masks(size)
    rles = coco_mask.frPyObjects([points.ravel() for points in polygons.split()], *size)
    owners, starts = np.unique(polygons.owners, return_index=True)
    ends = [*starts[1:].tolist(), len(rles)]
    united = [
        rles[start] if end - start == 1 else coco_mask.merge(rles[start:end])
        for start, end in zip(starts.tolist(), ends, strict=True)
    ]
    windows = coco_mask.toBbox(united).astype(np.int64)
    return owners, ObjectMasks(size, windows, _draw_runs(united, windows, size))


def crop_mask(mask: np.ndarray) -> ObjectMasks:
    """Return one (h, w) uint8 mask, cropped to its bounding box."""
    height, width = mask.shape
    columns = np.flatnonzero(mask.any(0))
    if not len(columns):
        return ObjectMasks((height, width), np.zeros((1, 4), np.int64), np.empty(0, np.uint8))
    left, right = columns[0], columns[-1] + 1
    rows = np.flatnonzero(mask[:, left:right].any(1))
    top, bottom = rows[0], rows[-1] + 1
    windows = np.array([[left, top, right - left, bottom - top]], dtype=np.int64)
    return ObjectMasks((height, width), windows, mask[top:bottom, left:right].T.ravel())


def _draw_runs(rles: list[Json], windows: np.ndarray, size: Size) -> np.ndarray:
    """Return the pixels of compressed run lengths inside their windows.

    Decoding whole masks, which are mostly empty, would take longer than everything else about an object.
    """
    counts = decode_counts([rle["counts"] for rle in rles])
    lengths = np.concatenate(counts)
    objects = np.repeat(np.arange(len(counts)), [len(part) for part in counts])
    places = np.arange(len(lengths)) - np.searchsorted(objects, objects)
    is_one = places % 2 == 1  # zeros come first
    # All masks have the same number of pixels. (run, 2): first and last pixel of a run in its mask, column by column.
    last = lengths.cumsum()[is_one] - 1
    runs = np.stack([last - lengths[is_one] + 1, last], axis=-1) - (objects[is_one] * (size[0] * size[1]))[:, None]
    column, row = np.divmod(runs, size[0])
    # A run continues in the next column only if the window is as high as the mask.
    left, top, _, down = (part[:, None] for part in windows[objects[is_one]].T)
    areas = windows[:, 2] * windows[:, 3]
    before = (areas.cumsum() - areas)[objects[is_one]][:, None]
    edges = before + (column - left) * down + (row - top) + (0, 1)
    gaps = np.diff(edges.ravel(), prepend=0, append=areas.sum())
    return np.repeat((np.arange(len(gaps)) % 2).astype(np.uint8), gaps)
