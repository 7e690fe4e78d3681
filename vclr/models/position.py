"""Sine embeddings of positions: the cells of a level (DETR) and the box of a query (DAB-DETR)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vclr.ops.constants import constant

TEMPERATURE = 10000.0


@constant
def _frequencies(num_features: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the divisors of the angles for the (num_features) sines and cosines."""
    exponents = torch.arange(num_features, dtype=dtype, device=device)
    return TEMPERATURE ** (2 * torch.div(exponents, 2, rounding_mode="floor") / num_features)


def _interleaved_sine(angles: Tensor, num_features: int) -> Tensor:
    """Embed (...) angles as (..., num_features): alternating sine and cosine, at falling frequencies."""
    phases = angles[..., None] / _frequencies(num_features, angles.device, angles.dtype)
    return torch.stack([phases[..., 0::2].sin(), phases[..., 1::2].cos()], -1).flatten(-2)


def embed_sides(cells: Tensor, num_features: int) -> Tensor:
    """Embed the cells 1, 2, ... n (..., n) of a side, normalized over the side, as (..., n, num_features)."""
    angles = (cells - 0.5) / (cells[..., -1:] + 1e-6) * (2 * math.pi)
    return _interleaved_sine(angles, num_features)


def embed_cells(padding_mask: Tensor, embed_dim: int) -> Tensor:
    """Embed the cell centers of a level as (b, h, w, embed_dim): first y, then x, half of the features each.

    They are normalized over the part that is not padded, where `padding_mask` (b, h, w) is False.
    """
    valid = (~padding_mask).float()
    rows = embed_sides(valid.cumsum(1).transpose(1, 2), embed_dim // 2).transpose(1, 2)
    columns = embed_sides(valid.cumsum(2), embed_dim // 2)
    return torch.cat([rows, columns], -1)


def embed_boxes(boxes: Tensor, embed_dim: int) -> Tensor:
    """Embed normalized cxcywh boxes (..., 4) as (..., 2 * embed_dim), in the order y, x, w, h."""
    center_x, center_y, width, height = (boxes * (2 * math.pi)).unbind(-1)
    angles = torch.stack([center_y, center_x, width, height], -1)
    return _interleaved_sine(angles, embed_dim // 2).flatten(-2)
