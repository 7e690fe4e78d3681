"""Tiles of a large photo: where they lie, level by level."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from vclr.structures import Size


class Tile(NamedTuple):
    """A part of a photo in its pixels.

    Attributes:
        left, top, right, bottom: its edges.
        level: its level; the side of the tiles doubles from one to the next.
    """

    left: int
    top: int
    right: int
    bottom: int
    level: int = 0

    @property
    def size(self) -> Size:
        """Its height and width."""
        return self.bottom - self.top, self.right - self.left

    def cuts(self, size: Size) -> tuple[bool, bool, bool, bool]:
        """Tell which of its edges (left, top, right, bottom) lie inside a photo of this size, and so may cut objects."""
        return self.left > 0, self.top > 0, self.right < size[1], self.bottom < size[0]

    def common(self, other: Tile) -> Tile | None:
        """Return what two tiles share, if anything."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Tile(left, top, right, bottom) if left < right and top < bottom else None


def cut_levels(size: Size, side: int, overlap: float) -> list[list[Tile]]:
    """Cut a photo into tiles of `side` pixels, then into tiles of twice that side, and so on; last comes the whole.

    An object that a tile of one level cuts is whole in one of a higher level, where it is smaller.

    Args:
        size: height and width of the photo.
        side: side of the smallest tiles.
        overlap: share of its side that a tile has in common with its neighbor, at least.
    """
    levels = []
    while side < max(size):
        rows, columns = (list(_spread(length, side, overlap)) for length in size)
        levels.append([Tile(left, top, right, bottom, len(levels)) for top, bottom in rows for left, right in columns])
        side *= 2
    return [*levels, [Tile(0, 0, size[1], size[0], len(levels))]]


def _spread(length: int, side: int, overlap: float) -> Iterator[tuple[int, int]]:
    """Yield the ends of the fewest intervals of equal length that cover 0 to `length` with this overlap."""
    if length <= side:
        yield 0, length
        return
    count = math.ceil((length - side) / (side * (1 - overlap))) + 1
    for number in range(count):
        start = round(number * (length - side) / (count - 1))
        yield start, start + side
