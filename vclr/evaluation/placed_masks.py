"""Masks of tiles as masks of the whole photo, as run lengths: nothing as large as the photo is in memory."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from pycocotools import mask as coco_mask

from vclr.coco.annotations import Json, encode_run_lengths
from vclr.evaluation.tiles import Tile
from vclr.structures import Size


def place_mask(rle: Json, tile: Tile, size: Size) -> Json:
    """Return a tile's mask as the mask of a photo of this size.

    Args:
        rle: the mask, painted at any size, compressed.
        tile: the tile, to which the mask is enlarged by repeating pixels.
        size: height and width of the photo.
    """
    left, top, width, height = (int(value) for value in coco_mask.toBbox(rle))
    if not width * height:
        return encode_run_lengths([size[0] * size[1]], *size)
    painted = coco_mask.decode(rle)[top : top + height, left : left + width]
    rows, first_row = _repeat(top, height, rle["size"][0], tile.size[0])
    columns, first_column = _repeat(left, width, rle["size"][1], tile.size[1])
    return _encode_at(painted[np.ix_(rows, columns)], tile.top + first_row, tile.left + first_column, size)


def _repeat(start: int, length: int, painted: int, full: int) -> tuple[np.ndarray, int]:
    """Return which painted line each line of the enlarged part shows, and the first of these lines.

    Args:
        start: first line of the part.
        length: number of its lines.
        painted: number of lines of the whole mask, as it is painted.
        full: the same, when it is enlarged.
    """
    shown = np.arange(full) * painted // full
    first, end = np.searchsorted(shown, [start, start + length])
    return shown[first:end] - start, int(first)


def _encode_at(mask: np.ndarray, top: int, left: int, size: Size) -> Json:
    """Return the run lengths of a photo that has an (h, w) mask at a place: column by column, as in COCO."""
    edges = np.diff(np.pad(mask.astype(np.int8), ((1, 1), (0, 0))), axis=0).T  # (w, h + 1)
    columns, rows = np.nonzero(edges == 1)
    starts = (left + columns.astype(np.int64)) * size[0] + top + rows
    columns, rows = np.nonzero(edges == -1)
    ends = (left + columns.astype(np.int64)) * size[0] + top + rows
    # A run that ends at the photo's bottom goes on at the top of the next column.
    goes_on = np.append(starts[1:] == ends[:-1], False)
    starts, ends = starts[~np.append(False, goes_on[:-1])], ends[~goes_on]
    borders = np.empty(2 * len(starts), np.int64)
    borders[::2], borders[1::2] = starts, ends
    lengths = np.diff(borders, prepend=0, append=size[0] * size[1])
    return encode_run_lengths(lengths.tolist() if lengths[-1] else lengths[:-1].tolist(), *size)


def clip_mask(rle: Json, part: Tile) -> Json:
    """Return the part of a photo's mask that lies in a tile, still as a mask of the photo."""
    return dict(coco_mask.merge([rle, tile_mask(part, (rle["size"][0], rle["size"][1]))], intersect=True))


@lru_cache(4096)
def tile_mask(part: Tile, size: Size) -> Json:
    """Return a tile as a mask of the photo."""
    left, top, right, bottom = part[:4]
    height = size[0]
    if bottom - top == height:
        lengths = [left * height, (right - left) * height]
    else:
        inner = [height - (bottom - top), bottom - top]
        lengths = [left * height + top, bottom - top, *inner * (right - left - 1)]
    rest = size[0] * size[1] - sum(lengths)
    return encode_run_lengths([*lengths, rest] if rest else lengths, *size)
