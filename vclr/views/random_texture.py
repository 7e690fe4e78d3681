"""The view `random_texture`: the regions of a photo keep their outlines and get random patterns."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy import ndimage

from vclr.views.computed import DrawPhoto, round_to_bytes
from vclr.views.regions import find_regions

WORKING_SIDE = 400  # pixels of the longer side at which regions are found
NUM_PATTERNS = 6  # that the regions of a photo share; the colors are each region's own


def render(image: np.ndarray, random: Generator, draw_photo: DrawPhoto) -> np.ndarray:
    """Fill each region with one of a few random patterns, drawn in two random colors of its own."""
    labels = find_regions(image, WORKING_SIDE)[1].astype(np.int32)
    num_regions = int(labels.max()) + 1
    regions = np.asarray(Image.fromarray(labels).resize(image.shape[1::-1], Image.Resampling.NEAREST))
    patterns = np.stack([_draw_pattern(random, *regions.shape) for _ in range(NUM_PATTERNS)])
    dark, light = random.uniform(0, 255, (2, num_regions, 3))
    chosen = random.integers(NUM_PATTERNS, size=num_regions)[regions]
    share = np.take_along_axis(patterns, chosen[None], axis=0)[0][..., None]
    return round_to_bytes(dark[regions] * (1 - share) + light[regions] * share)


def _draw_pattern(random: Generator, height: int, width: int) -> np.ndarray:
    """Return stripes or spots of a random size, (h, w) in [0, 1]: noise, smoothed more along one axis."""
    noise = random.standard_normal((height, width), dtype=np.float32)
    smooth = ndimage.gaussian_filter(noise, random.uniform(0.7, 5, 2))
    return np.clip(0.5 + smooth / max(4 * float(smooth.std()), 1e-6), 0, 1)
