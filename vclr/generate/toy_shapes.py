"""The shape classes of the toy world: which points of the plane a shape covers.

Every shape lies in the unit disk and is a function of two float64 arrays, x to the right and y down, that returns
where it covers the plane. Only operations that IEEE 754 rounds correctly are used (+ - * / sqrt and comparisons), so
the pixels are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Shape = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _polygon(*corners: tuple[float, float]) -> Shape:
    """Make a shape of a polygon's corners; a point is inside if a ray to the right crosses an odd number of edges."""

    def covers(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        inside = np.zeros(x.shape, bool)
        for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
            if y1 == y2:
                continue
            spans = (y1 > y) != (y2 > y)
            inside ^= spans & (x < x1 + (y - y1) * ((x2 - x1) / (y2 - y1)))
        return inside

    return covers


def _disk(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x * x + y * y < 0.9


def _ellipse(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x * x + 3.6 * y * y < 1.0


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    squared = x * x + y * y
    return (squared < 1.0) & (squared > 0.3)


def _crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    aside = x - 0.42
    return (x * x + y * y < 1.0) & (aside * aside + y * y > 0.55)


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    # The sextic (x² + y² - 1)³ = x² y³, shrunk into the unit disk, its tip down.
    x, y = 1.35 * x, 0.15 - 1.29 * y
    excess = x * x + y * y - 1.0
    return excess * excess * excess < x * x * y * y * y


KNOWN_SHAPES: dict[str, Shape] = {
    "disk": _disk,
    "square": _polygon((-0.7, -0.7), (0.7, -0.7), (0.7, 0.7), (-0.7, 0.7)),
    "triangle": _polygon((0.0, -1.0), (0.866, 0.5), (-0.866, 0.5)),
    "ellipse": _ellipse,
    "star": _polygon(
        *((0.0, -1.0), (0.265, -0.364), (0.951, -0.309), (0.428, 0.139), (0.588, 0.809)),
        *((0.0, 0.45), (-0.588, 0.809), (-0.428, 0.139), (-0.951, -0.309), (-0.265, -0.364)),
    ),
    "cross": _polygon(
        *((-0.3, -0.95), (0.3, -0.95), (0.3, -0.3), (0.95, -0.3), (0.95, 0.3), (0.3, 0.3)),
        *((0.3, 0.95), (-0.3, 0.95), (-0.3, 0.3), (-0.95, 0.3), (-0.95, -0.3), (-0.3, -0.3)),
    ),
}

NOVEL_SHAPES: dict[str, Shape] = {
    "ring": _ring,
    "crescent": _crescent,
    "heart": _heart,
    "arrow": _polygon(
        *((0.0, -1.0), (0.8, -0.1), (0.34, -0.1), (0.34, 0.92), (-0.34, 0.92), (-0.34, -0.1), (-0.8, -0.1)),
    ),
    "hourglass": _polygon((-0.7, -0.7), (0.7, -0.7), (0.16, 0.0), (0.7, 0.7), (-0.7, 0.7), (-0.16, 0.0)),
    "corner": _polygon((-0.7, -0.7), (-0.1, -0.7), (-0.1, 0.1), (0.7, 0.1), (0.7, 0.7), (-0.7, 0.7)),
}

SHAPES: dict[str, Shape] = {**KNOWN_SHAPES, **NOVEL_SHAPES}


def draw_turn(rng: np.random.Generator) -> tuple[float, float]:
    """Draw the cosine and sine of an angle without trigonometry: a rational point of the circle, and quarter turns."""
    half = 0.41421356 * (2.0 * rng.random() - 1.0)  # the tangent of half an angle between -45 and 45 degrees
    cosine = (1.0 - half * half) / (1.0 + half * half)
    sine = 2.0 * half / (1.0 + half * half)
    for _ in range(int(rng.integers(4))):
        cosine, sine = -sine, cosine
    return cosine, sine


@dataclass(frozen=True)
class Pose:
    """The shape class and the position of an object.

    Attributes:
        shape: a name of `SHAPES`.
        x: center, in pixels from the left.
        y: center, in pixels from the top.
        radius: of the disk that holds the object, in pixels.
        turn: cosine and sine of its rotation.
        squeeze: its height relative to its width, at most 1.
    """

    shape: str
    x: float
    y: float
    radius: float
    turn: tuple[float, float]
    squeeze: float

    def to_local(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turn pixel coordinates into those of the unit disk in which the shape is defined."""
        cosine, sine = self.turn
        right, down = x - self.x, y - self.y
        across = (cosine * right + sine * down) / self.radius
        along = (cosine * down - sine * right) / (self.radius * self.squeeze)
        return across, along

    def may_touch(self, other: Pose) -> bool:
        """Return whether the disks that hold the two objects overlap."""
        right, down, reach = self.x - other.x, self.y - other.y, self.radius + other.radius
        return right * right + down * down < reach * reach


def stamp(labels: np.ndarray, pose: Pose, label: int, scale: int = 1) -> int:
    """Write `label` into the pixels whose centers the object covers.

    Args:
        labels: (h * scale, w * scale) integers, changed in place.
        pose: the object, in pixels of the (h, w) image.
        label: what to write.
        scale: samples per pixel, in both directions.

    Returns:
        How many samples the whole object covers, those outside the image too.
    """
    left, top = int((pose.x - pose.radius) * scale) - 1, int((pose.y - pose.radius) * scale) - 1
    side = int(2.0 * pose.radius * scale) + 4
    x, y = (np.arange(left, left + side) + 0.5) / scale, (np.arange(top, top + side) + 0.5) / scale
    covered = SHAPES[pose.shape](*pose.to_local(x[None, :], y[:, None]))
    height, width = labels.shape
    rows, columns = slice(max(top, 0), min(top + side, height)), slice(max(left, 0), min(left + side, width))
    inside = covered[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    labels[rows, columns][inside] = label
    return int(np.count_nonzero(covered))
