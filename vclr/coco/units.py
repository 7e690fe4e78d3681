"""Detect boxes and polygons in the wrong unit: COCO uses pixels, other formats use fractions of the image size.

Fractions read as pixels put every object into the first pixel, so that nothing can be learned or found. A single box
like this proves nothing; if all boxes of a file are like this, the unit is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

NEAR_ONE = 1.001  # the largest fraction, plus rounding
MIN_SIDE = 3  # in smaller images, the first pixel is a large part of the image


@dataclass
class Units:
    """The evidence about the unit so far; `add` is only needed while `are_open`.

    Attributes:
        are_open: the boxes or the polygons may still be fractions.
    """

    are_open: bool = True
    _counts: dict[str, int] = field(default_factory=lambda: {"boxes": 0, "polygons": 0})
    _in_pixels: set[str] = field(default_factory=set)
    _has_fraction: bool = False

    def add(self, shape: Json, size: tuple[int, int]) -> None:
        """Add the box and the polygons of a valid annotation or result, in an image of (height, width)."""
        if max(size) < MIN_SIDE:
            return
        left, top, width, height = shape["bbox"]
        if "boxes" not in self._in_pixels and width > 0 and height > 0:
            self._see("boxes", (left, top, left + width, top + height))
        segmentation = shape.get("segmentation")
        if isinstance(segmentation, list):
            self._see("polygons", segmentation[0])
        elif segmentation is not None:
            self._in_pixels.add("polygons")  # run lengths are always in pixels
        self.are_open = len(self._in_pixels) < len(self._counts)

    def need(self, has_segmentation: bool) -> bool:
        """Tell whether another shape, which has a segmentation or not, may add evidence."""
        return "boxes" not in self._in_pixels or (has_segmentation and self.are_open)

    def merge(self, other: Units) -> None:
        """Add the evidence from another part of the same file."""
        for kind in self._counts:
            self._counts[kind] += other._counts[kind]
        self._in_pixels |= other._in_pixels
        self._has_fraction |= other._has_fraction

    def _see(self, kind: str, numbers: Sequence[float]) -> None:
        self._counts[kind] += 1
        self._has_fraction |= any(number % 1 for number in numbers)
        if max(numbers) > NEAR_ONE or min(numbers) < 0:
            self._in_pixels.add(kind)

    def say_shares(self) -> str:
        """Return a line if all boxes or all polygons look like fractions; empty if any of them is in pixels."""
        for kind, count in self._counts.items() if self._has_fraction else ():  # objects of 1x1 px are possible
            if count and kind not in self._in_pixels:
                them = f"all {count} {kind} lie" if count > 1 else f"the only one of its {kind} lies"
                return (
                    f"{them} within 1 px of the corner: are they fractions of the image size? COCO uses pixels; "
                    "multiply x and width by the image's width, y and height by its height"
                )
        return ""
