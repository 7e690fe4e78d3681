"""Tiles of a large photo: where they lie, level by level."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from vclr.structures import Size

GROWTH = 2**0.5  # of the tiles' side from one level to the next


class Tile(NamedTuple):
    """A part of a photo in its pixels.

    Attributes:
        left, top, right, bottom: its edges.
        level: its level, from 0; see `GROWTH`.
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
        """Tell which edges (left, top, right, bottom) lie inside a photo of this size, and so may cut objects."""
        return self.left > 0, self.top > 0, self.right < size[1], self.bottom < size[0]

    def common(self, other: Tile) -> Tile | None:
        """Return what two tiles share, if anything."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Tile(left, top, right, bottom) if left < right and top < bottom else None


def cut_levels(size: Size, side: int, overlap: float) -> list[list[Tile]]:
    """Cut a photo into tiles of `side` pixels, then into larger tiles, and so on; last comes the whole photo.

    An object that the tiles of one level cut is whole in a tile of a higher level, where it is smaller. An object of
    any size fills a similar share of a tile at one level or another.

    Args:
        size: height and width of the photo.
        side: side of the smallest tiles.
        overlap: share of its side that a tile has in common with its neighbor, at least.
    """
    levels: list[list[Tile]] = []
    while (grown := round(side * GROWTH ** len(levels))) < max(size):
        rows, columns = (list(_spread(length, grown, overlap)) for length in size)
        levels.append([Tile(left, top, right, bottom, len(levels)) for top, bottom in rows for left, right in columns])
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
