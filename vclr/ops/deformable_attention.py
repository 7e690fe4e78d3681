"""Multi-scale deformable attention (Zhu et al., ICLR 2021): one function, pure PyTorch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def deformable_attention(
    value: Tensor, spatial_shapes: list[tuple[int, int]], sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """Sum what each query reads at its sampling points of every level, weighted.

    Computed in the precision of the locations, float32 at least: in bfloat16 they would be off by whole cells.

    Args:
        value: (b, s, m, d) values of all levels, flattened one after the other.
        spatial_shapes: (height, width) of each level.
        sampling_locations: (b, q, m, l, p, 2) as (x, y), normalized to [0, 1] over the padded map; outside is zero.
        attention_weights: (b, q, m, l, p).

    Returns:
        (b, q, m * d), in the precision of `value`.
    """
    precision = sampling_locations.dtype
    b, _, m, d = value.shape
    q, p, num_levels = sampling_locations.shape[1], sampling_locations.shape[4], len(spatial_shapes)
    # One (b*m, d, h, w) map and one (b*m, q, p, 2) grid a level.
    grids = (2 * sampling_locations - 1).permute(3, 0, 2, 1, 4, 5).reshape(num_levels, b * m, q, p, 2)
    weights = attention_weights.to(precision).permute(3, 0, 2, 1, 4).reshape(num_levels, b * m, 1, q, p)
    values = value.to(precision).permute(0, 2, 3, 1).reshape(b * m, d, -1)
    levels = values.split([height * width for height, width in spatial_shapes], dim=-1)
    attended = torch.zeros((), dtype=precision, device=value.device)
    for shape, level, grid, weight in zip(spatial_shapes, levels, grids, weights, strict=True):
        sampled = functional.grid_sample(level.unflatten(-1, shape), grid, align_corners=False)
        attended = attended + (sampled * weight).sum(-1)
    return attended.view(b, m * d, q).transpose(1, 2).to(value.dtype)
