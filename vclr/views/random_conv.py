"""The view `random_conv`: the shapes of a photo, with local texture and color from a random filter."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator

from vclr.views.computed import DrawPhoto, round_to_bytes


def render(image: np.ndarray, random: Generator, draw_photo: DrawPhoto) -> np.ndarray:
    """Convolve with a random kernel that mixes the channels (Xu et al., ICLR 2021), then restore a viewable contrast.

    The weights are whole numbers, small enough that every sum is exact in float32: the order of the additions, which
    differs between processors, then does not change a byte.
    """
    size = int(random.choice([1, 3, 5, 7]))
    weights = np.clip(np.rint(128 * random.standard_normal((3, 3, size, size))), -384, 384)
    pixels = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
    padded = F.pad(pixels, (size // 2,) * 4, mode="replicate")
    response = F.conv2d(padded, torch.from_numpy(weights.astype(np.float32)))[0].numpy().astype(np.float64)
    response -= np.rint(response.mean(axis=(1, 2), keepdims=True))
    spread = np.abs(response).mean(axis=(1, 2), keepdims=True)
    return round_to_bytes((127.5 + 45 * response / np.maximum(spread, 1)).transpose(1, 2, 0))
