"""The view `edge`: the outlines of a photo, without its color and shading."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from vclr.views.computed import DrawPhoto, round_to_bytes


def render(image: np.ndarray, random: Generator, draw_photo: DrawPhoto) -> np.ndarray:
    """Draw the Sobel gradient of the strongest channel, white on black; the strongest hundredth saturates."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge").astype(np.int32)
    down = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    across = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    squares = (down[:, 2:] - down[:, :-2]) ** 2 + (across[2:] - across[:-2]) ** 2
    strength = np.sqrt(squares.max(axis=2).astype(np.float32))
    # The floor of 40 (of 1020) keeps the noise of a blank image from being stretched to full contrast.
    white = max(float(np.percentile(strength, 99)), 40.0)
    return round_to_bytes(np.repeat((strength * (255 / white))[..., None], 3, axis=2))
