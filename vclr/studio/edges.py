"""The edges of a picture: where the strongest of its color channels changes most."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage

SIDE = 320  # pixels of the longer side at which pictures are compared; larger ones are shrunk to it
SIGMA = 1.2  # pixels of smoothing, at this size
STRONGEST = 98  # percentile of the gradient that counts as a strong edge
SHARE = 0.65  # of a strong edge, which a pixel must reach; fine texture of photos is below it
LEAST = 12.0  # gray levels of a step that is an edge at all; noise is below it
# Across an edge of each direction, in steps of 45 degrees: (down, right).
STEPS = ((0, 1), (1, 1), (1, 0), (1, -1))


def shrink(image: np.ndarray) -> np.ndarray:
    """Shrink a picture (h, w, 3) uint8 to a longer side of `SIDE`, each pixel the mean of those that it stands for."""
    height, width = image.shape[:2]
    factor = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))


def find_edges(image: np.ndarray) -> np.ndarray:
    """Find thin edges in a picture, after Canny (1986): smoothed gradient, ridges of it, those that are strong.

    Strong is relative to the picture, so that edges of a pale view count like those of a photo.

    Args:
        image: (h, w, 3) uint8 RGB.

    Returns:
        (h, w) bool.
    """
    down, across = (
        ndimage.gaussian_filter(image.astype(np.float32), (SIGMA, SIGMA, 0), order, mode="nearest")
        for order in ((1, 0, 0), (0, 1, 0))
    )
    strongest = (down**2 + across**2).argmax(axis=2)[..., None]
    down, across = (np.take_along_axis(slope, strongest, axis=2)[..., 0] for slope in (down, across))
    # In gray levels: a step of this height has this slope after smoothing.
    height = np.hypot(down, across) * SIGMA * np.sqrt(2 * np.pi)
    enough = max(LEAST, SHARE * float(np.percentile(height, STRONGEST)))
    return _ridges(height, down, across) & (height >= enough)


def _ridges(height: np.ndarray, down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Return (h, w) where the height is the greatest of three pixels in the direction of its slope."""
    rows, columns = height.shape
    padded = np.pad(height, 1)
    direction = np.rint(np.arctan2(down, across) / (np.pi / 4)).astype(np.int64) % len(STEPS)
    found = np.zeros(height.shape, bool)
    for number, (row, column) in enumerate(STEPS):
        before, after = (
            padded[1 + sign * row : 1 + sign * row + rows, 1 + sign * column : 1 + sign * column + columns]
            for sign in (-1, 1)
        )
        found |= (direction == number) & (height > before) & (height >= after)
    return found
