"""How much appearance a view replaces: distances of color and of texture between a photo and its view.

Both are means over square cells of the picture, so what happens in one place is not made up for in another.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2lab

CELL = 8  # pixels of a cell's side, in pictures of `vclr.studio.edges.SIDE`
BLACK_TO_WHITE = 100.0  # in CIELAB
SCALES = (1.0, 2.0, 4.0)  # pixels of the filters
NUM_ANGLES = 4
NOISE = 1.0  # gray levels that each filter answers anyway: patterns below count little
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Appearance:
    """The colors and textures of a picture, cell by cell."""

    def __init__(self, image: np.ndarray) -> None:
        """Measure a picture (h, w, 3) uint8 RGB."""
        height, width = image.shape[:2]
        cells = -(-width // CELL), -(-height // CELL)
        self._colors = rgb2lab(np.asarray(Image.fromarray(image).resize(cells, Image.Resampling.BOX)))
        self._patterns = _measure_patterns(image.astype(np.float32) @ LUMA)

    def color_distance(self, other: Appearance) -> float:
        """Return the mean distance of the cells' mean colors in CIELAB (CIE 1976), of which 100 and more are 1."""
        distances = np.linalg.norm(self._colors - other._colors, axis=2) / BLACK_TO_WHITE
        return float(np.minimum(distances, 1.0).mean())

    def texture_distance(self, other: Appearance) -> float:
        """Return the mean over cells of the difference of their filters' answers, as a share of their sum.

        This share (Bray and Curtis, 1957) is 0 for equal patterns, and near 1 if one of the cells has none. Filters are
        derivatives of Gaussians at three scales and four angles, after Malik and Perona (1990).
        """
        difference = np.abs(self._patterns - other._patterns).sum(axis=0)
        total = (self._patterns + other._patterns + NOISE).sum(axis=0)
        return float((difference / total).mean())


def _measure_patterns(gray: np.ndarray) -> np.ndarray:
    """Return (f, rows, columns) the root mean square of each filter's answer in each cell of a gray picture (h, w)."""
    angles = np.arange(NUM_ANGLES) * np.pi / NUM_ANGLES
    found = []
    for sigma in SCALES:
        down, across = (
            sigma * ndimage.gaussian_filter(gray, sigma, order, mode="nearest") for order in ((1, 0), (0, 1))
        )
        # The derivative in any direction is a sum of these two (Freeman and Adelson, 1991).
        found += [_cell_means((np.cos(angle) * across + np.sin(angle) * down) ** 2) for angle in angles]
    return np.sqrt(np.stack(found))


def _cell_means(values: np.ndarray) -> np.ndarray:
    """Return (rows, columns) the mean of (h, w) values in each cell; cells at the right and below may be smaller."""
    rows, columns = (np.arange(0, side, CELL) for side in values.shape)
    sums = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    heights, widths = (
        np.diff(np.append(starts, side)) for starts, side in zip((rows, columns), values.shape, strict=True)
    )
    means: np.ndarray = sums / (heights[:, None] * widths)
    return means
