"""Detect another box layout or unit from all boxes of a file, because a single box is not enough evidence."""

from __future__ import annotations

from dataclasses import dataclass

from vclr.data.doctor import kinds
from vclr.data.doctor.kinds import Use
from vclr.finding import Finding

MIN_OUTSIDE = 2  # boxes beyond their images from which the layout is doubted
MIN_BOXES, MAX_PERCENT, MIN_SIDE = 20, 100.001, 150  # when boxes are taken for percentages
ROUNDING = 1.0  # pixels


@dataclass
class BoxLayout:
    """Statistics of all boxes that are not empty.

    Attributes:
        count: number of boxes.
        num_outside: number of boxes that reach beyond their images.
        are_corners: every box, read as [x, y, x2, y2], lies inside its image.
        largest: the largest coordinate of a box, in pixels.
        smallest_side: the smallest side of an image with a box, in pixels.
        has_fraction: a coordinate is not an integer.
    """

    count: int = 0
    num_outside: int = 0
    are_corners: bool = True
    largest: float = 0.0
    smallest_side: float = float("inf")
    has_fraction: bool = False

    def add(self, box: list[float], height: int, width: int) -> None:
        """Add a box [x, y, width, height] in an image of this size."""
        left, top, across, down = box
        if across <= 0 or down <= 0:
            return
        self.count += 1
        self.num_outside += left + across > width + ROUNDING or top + down > height + ROUNDING
        self.are_corners &= left < across <= width + ROUNDING and top < down <= height + ROUNDING
        self.largest = max(self.largest, left + across, top + down)
        self.smallest_side = min(self.smallest_side, height, width)
        self.has_fraction |= any(number % 1 for number in box)

    def merge(self, other: BoxLayout) -> None:
        """Add the statistics of another part of the same file."""
        self.count += other.count
        self.num_outside += other.num_outside
        self.are_corners &= other.are_corners
        self.largest = max(self.largest, other.largest)
        self.smallest_side = min(self.smallest_side, other.smallest_side)
        self.has_fraction |= other.has_fraction

    def examine(self, path: object, use: Use) -> list[Finding]:
        """Report boxes that seem to have another layout or unit."""
        if self.are_corners and self.num_outside >= MIN_OUTSIDE:
            says = f"{path}: {self.num_outside} of {self.count} boxes reach beyond their images"
            return kinds.OTHER_LAYOUT.found(use, f"{says}, but none would as [x, y, x2, y2]; is this their layout?")
        is_small = 1 < self.largest <= MAX_PERCENT and self.smallest_side >= MIN_SIDE
        if is_small and self.has_fraction and self.count >= MIN_BOXES:
            says = f"{path}: all {self.count} boxes lie within 100 px of the corner: are they percentages?"
            return kinds.PERCENTAGES.found(use, says)
        return []
