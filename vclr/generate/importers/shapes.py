"""Outlines of the shapes that annotation tools draw, as (n, 2) points in pixels."""

from __future__ import annotations

import math

import numpy as np

MAX_RADIUS = 1e6  # pixels; wider than any photo


def rectangle(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    """Return the corners of a rectangle, clockwise from the left top."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=float)


def ellipse(x: float, y: float, radius_x: float, radius_y: float) -> np.ndarray:
    """Return the outline of an ellipse around (x, y), accurate to a tenth of a pixel.

    Raises:
        ValueError: a radius is not a length in pixels.
    """
    largest = max(abs(radius_x), abs(radius_y))
    if not largest <= MAX_RADIUS:
        raise ValueError(f"a radius of {largest:g} px is too large")
    count = max(12, math.ceil(7 * math.sqrt(largest)))
    angles = 2 * math.pi * np.arange(count) / count
    return np.stack([x + abs(radius_x) * np.cos(angles), y + abs(radius_y) * np.sin(angles)], axis=1)


def rotate(points: np.ndarray, center: tuple[float, float], degrees: float) -> np.ndarray:
    """Turn points around a center, clockwise as the picture is seen."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x, y = (points - center).T
    return np.stack([x * cosine - y * sine, x * sine + y * cosine], axis=1) + center
