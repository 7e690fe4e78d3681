"""The view `gray`: a photo without its color."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from PIL import Image

from vclr.views.computed import DrawPhoto


def render(image: np.ndarray, random: Generator, draw_photo: DrawPhoto) -> np.ndarray:
    """Show the luminance of each pixel (ITU-R BT.601) in all three channels."""
    luminance = np.asarray(Image.fromarray(image).convert("L"))
    return np.repeat(luminance[..., None], 3, axis=2)
