"""The view `palette`: areas of similar color keep their shape and get other colors."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from vclr.views.computed import DrawPhoto, round_to_bytes

LUMINANCE = np.array([0.299, 0.587, 0.114])


def render(image: np.ndarray, random: Generator, draw_photo: DrawPhoto) -> np.ndarray:
    """Quantize the colors coarsely and give each a random hue.

    The order of luminance is kept or, by the toss of a coin, reversed as a whole. Shading therefore stays smooth and a
    gradient in the sky does not break into loud stripes, yet neither hue nor brightness tells what a thing is.
    """
    offsets = random.integers(0, 64, 3)  # the borders between the colors
    levels = (image.astype(np.int32) + offsets) >> 6  # 0 ... 4
    codes = levels[..., 0] * 25 + levels[..., 1] * 5 + levels[..., 2]
    return _random_palette(random)[codes]


def _random_palette(random: Generator) -> np.ndarray:
    """Return a color per cell, (125, 3) uint8; their luminances are in the order of the cells' own."""
    cells = np.stack(np.meshgrid(*[np.arange(5)] * 3, indexing="ij"), axis=-1).reshape(125, 3)
    order = np.argsort(cells @ LUMINANCE, kind="stable")
    if random.random() < 0.5:
        order = order[::-1]
    steps = np.cumsum(random.exponential(size=125))
    luminance = np.empty((125, 1))
    luminance[order, 0] = 0.06 + 0.88 * steps / steps[-1]
    colors = random.random((125, 3))
    own = (colors @ LUMINANCE)[:, None]
    darker = colors * luminance / own
    lighter = 1 - (1 - colors) * (1 - luminance) / (1 - own)
    return round_to_bytes(255 * np.where(luminance < own, darker, lighter))
