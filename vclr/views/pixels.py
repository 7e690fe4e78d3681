"""Pixels as a network takes and gives them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_tensor(image: np.ndarray, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Turn an image, (h, w, 3) uint8, into pixels (1, 3, h, w) from 0 to 255."""
    return torch.tensor(image, device=device).permute(2, 0, 1)[None].to(dtype)


def to_image(pixels: Tensor) -> np.ndarray:
    """Turn pixels (3, h, w) or (1, h, w) from 0 to 1 into an image, (h, w, 3) uint8; others are clipped."""
    rounded = (pixels.float().clamp(0, 1) * 255).round().to(torch.uint8).cpu()
    return np.ascontiguousarray(rounded.expand(3, -1, -1).permute(1, 2, 0).numpy())
