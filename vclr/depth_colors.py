"""Depth as color: one fixed map, near bright, for depth that is estimated and depth that is guessed."""

from __future__ import annotations

from functools import cache

import numpy as np

NEAREST = 65535  # the largest value of inverse depth in 16 bits: the nearest point

# Far to near: from almost black through violet and orange to pale yellow.
DEPTH_COLORS = np.array(
    [(4, 5, 24), (58, 18, 102), (126, 34, 118), (190, 54, 92), (234, 98, 52), (250, 166, 40), (252, 252, 180)], float
)


def colorize_depth(nearness: np.ndarray) -> np.ndarray:
    """Show nearness as color, near bright.

    Args:
        nearness: (h, w) float in [0, 1], 1 is near; values outside are clipped.

    Returns:
        (h, w, 3) uint8. The four basic operations suffice, so the bytes are the same on every machine.
    """
    position = np.clip(nearness, 0, 1).astype(np.float64) * (len(DEPTH_COLORS) - 1)
    lower = np.minimum(position.astype(np.intp), len(DEPTH_COLORS) - 2)
    weight = (position - lower)[..., None]
    color = DEPTH_COLORS[lower] * (1 - weight) + DEPTH_COLORS[lower + 1] * weight
    return (color + 0.5).astype(np.uint8)


def colorize_levels(levels: np.ndarray) -> np.ndarray:
    """Show inverse depth in 16 bits, (h, w) uint16 with 0 far, as color, (h, w, 3) uint8."""
    return _table()[levels]


@cache
def _table() -> np.ndarray:
    """Return the color of each of the 65,536 levels, (65536, 3) uint8."""
    return colorize_depth(np.arange(NEAREST + 1)[None] / NEAREST)[0]
