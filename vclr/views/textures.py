"""Generated textures, as styles for whoever has no paintings."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from vclr.views.computed import round_to_bytes

SIDE = 256  # pixels
NUM_COLORS = (3, 7)  # at least, and less than
STROKES = (0.8, 12.0)  # pixels: how long and how wide strokes may be


def draw_texture(random: Generator) -> np.ndarray:
    """Draw a texture of a few random colors, which lie in bands, spots or strokes, (SIDE, SIDE, 3) uint8.

    Coarse noise says which color a place takes; it is bent by finer noise, as a brush would. Fine strokes change the
    light. All sizes and directions are random.
    """
    palette = random.uniform(0, 255, (int(random.integers(*NUM_COLORS)), 3))
    coarse = _noise(random, random.uniform(4, 40, 2)) + random.uniform(0, 0.6) * _noise(
        random, random.uniform(*STROKES, 2)
    )
    place = (np.clip(0.5 + coarse / 4, 0, 1) * (len(palette) - 1)).astype(np.float64)
    sharpness = random.uniform(0, 1)  # from colors that flow into each other to borders between them
    lower = np.minimum(place.astype(np.int64), len(palette) - 2)
    share = place - lower
    share = (1 - sharpness) * share + sharpness * (share > 0.5)
    colors = palette[lower] * (1 - share[..., None]) + palette[lower + 1] * share[..., None]
    light = random.uniform(5, 40) * _noise(random, random.uniform(*STROKES, 2))
    return round_to_bytes(colors + light[..., None])


def _noise(random: Generator, smoothness: np.ndarray) -> np.ndarray:
    """Return noise with a deviation of 1, (SIDE, SIDE), smoothed differently along two axes, which are turned."""
    white = random.standard_normal((SIDE, SIDE), dtype=np.float32)
    smooth = ndimage.gaussian_filter(white, smoothness, mode="wrap")
    turned = ndimage.rotate(smooth, random.uniform(0, 180), reshape=False, order=1, mode="grid-wrap")
    return turned / max(float(turned.std()), 1e-6)
