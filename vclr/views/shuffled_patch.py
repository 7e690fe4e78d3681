"""The control `shuffled_patch`: the patches of a photo in random order, which keeps texture and takes shapes apart."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from vclr.views.computed import DrawPhoto

GRID = 8  # patches per side: small enough that most objects are cut


def render(image: np.ndarray, random: Generator, draw_photo: DrawPhoto) -> np.ndarray:
    """Permute the patches of an 8 x 8 grid; the pixels that the grid leaves over, bottom and right, stay in place."""
    rows, columns = (min(GRID, side) for side in image.shape[:2])
    height, width = image.shape[0] // rows, image.shape[1] // columns
    covered = image[: rows * height, : columns * width]
    patches = covered.reshape(rows, height, columns, width, 3).swapaxes(1, 2).reshape(-1, height, width, 3)
    shuffled = patches[random.permutation(len(patches))].reshape(rows, columns, height, width, 3)
    result = image.copy()
    result[: rows * height, : columns * width] = shuffled.swapaxes(1, 2).reshape(covered.shape)
    return result
