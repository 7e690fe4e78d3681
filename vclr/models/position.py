"""Sine embeddings of positions: of a level's cells (DETR) and of a query's box (DAB-DETR)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

TEMPERATURE = 10000.0


def _interleaved_sine(angles: Tensor, num_features: int) -> Tensor:
    """Embed (...) angles as (..., num_features): sine and cosine by turns, at falling frequencies."""
    exponents = torch.arange(num_features, dtype=torch.float32, device=angles.device)
    frequencies = TEMPERATURE ** (2 * torch.div(exponents, 2, rounding_mode="floor") / num_features)
    phases = angles[..., None] / frequencies
    return torch.stack([phases[..., 0::2].sin(), phases[..., 1::2].cos()], -1).flatten(-2)


def embed_cells(padding_mask: Tensor, embed_dim: int) -> Tensor:
    """Embed the cell centers of a level, y first, normalized over the part that is not padded.

    Args:
        padding_mask: (b, h, w) bool, True where padded.
        embed_dim: d, half for each axis.

    Returns:
        (b, h, w, d).
    """
    valid = (~padding_mask).float()
    rows, columns = valid.cumsum(1), valid.cumsum(2)
    angles_y = (rows - 0.5) / (rows[:, -1:, :] + 1e-6) * (2 * math.pi)
    angles_x = (columns - 0.5) / (columns[:, :, -1:] + 1e-6) * (2 * math.pi)
    half = embed_dim // 2
    return torch.cat([_interleaved_sine(angles_y, half), _interleaved_sine(angles_x, half)], -1)


def embed_boxes(boxes: Tensor, embed_dim: int) -> Tensor:
    """Embed normalized cxcywh boxes (..., 4) as (..., 2 * embed_dim), in the order y, x, w, h."""
    center_x, center_y, width, height = (boxes * (2 * math.pi)).unbind(-1)
    half = embed_dim // 2
    return torch.cat([_interleaved_sine(angles, half) for angles in (center_y, center_x, width, height)], -1)
