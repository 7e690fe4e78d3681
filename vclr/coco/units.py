"""Units of boxes and polygons: COCO counts in pixels, and other formats in shares of the image, from 0 to 1.

Shares taken as pixels put every object into the first pixel: nothing can be learned from them, and nothing found. Of a
single box that is no proof; of all boxes of a file it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

NEAR_ONE = 1.001  # the largest share, with what rounding adds
MIN_SIDE = 3  # of an image; below, the first pixel is a large part of it


@dataclass
class Units:
    """What the shapes of a file have in common so far; to be asked only while `are_open`.

    Attributes:
        are_open: neither boxes nor polygons have been seen in pixels.
    """

    are_open: bool = True
    _counts: dict[str, int] = field(default_factory=lambda: {"boxes": 0, "polygons": 0})
    _in_pixels: set[str] = field(default_factory=set)
    _has_fraction: bool = False

    def add(self, shape: Json, size: tuple[int, int]) -> None:
        """Look at the box and the polygons of a sound annotation or result, in an image of (height, width)."""
        if max(size) < MIN_SIDE:
            return
        left, top, width, height = shape["bbox"]
        if "boxes" not in self._in_pixels and width > 0 and height > 0:
            self._see("boxes", (left, top, left + width, top + height))
        segmentation = shape.get("segmentation")
        if isinstance(segmentation, list):
            self._see("polygons", segmentation[0])
        elif segmentation is not None:
            self._in_pixels.add("polygons")  # run lengths have no other unit
        self.are_open = len(self._in_pixels) < len(self._counts)

    def merge(self, other: Units) -> None:
        """Take in what another part of the same file has."""
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
        """Say that all boxes, or all polygons, are shares of their images; nothing if any of them is in pixels."""
        for kind, count in self._counts.items() if self._has_fraction else ():  # one pixel can be an object
            if count and kind not in self._in_pixels:
                them = f"all {count} {kind} lie" if count > 1 else f"the only one of its {kind} lies"
                return (
                    f"{them} within 1 px of the corner: are they shares of the image (0 to 1)? COCO counts in pixels; "
                    "multiply x and width by the image's width, y and height by its height"
                )
        return ""
