"""Multi-scale deformable attention (Zhu et al., ICLR 2021): one function, on any device.

It is pure PyTorch, except on a GPU beside an installed package that has it compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from vclr.ops.compiled_attention import compiled_attention, has_compiled
from vclr.ops.gathered_attention import gathered_attention
from vclr.ops.plain import is_plain
from vclr.ops.plain_attention import plain_attention
from vclr.structures import Size

Backend = Callable[[Tensor, Sequence[Size], Tensor, Tensor], Tensor]


def deformable_attention(
    value: Tensor,
    spatial_shapes: Sequence[Size],
    sampling_locations: Tensor,
    attention_weights: Tensor,
    backend: str = "",
) -> Tensor:
    """Return the weighted sum of what each query reads at its sampling points on every level.

    Compute in the precision of the locations, at least float32: in bfloat16 they would be off by whole cells.

    Args:
        value: (b, s, m, d) values of all levels, flattened one after the other.
        spatial_shapes: (height, width) of each level.
        sampling_locations: (b, q, m, l, p, 2) as (x, y), normalized to [0, 1] over the padded map; zero outside.
        attention_weights: (b, q, m, l, p).
        backend: one of `BACKENDS` (default: see `choose_backend`). They differ by rounding.

    Returns:
        (b, q, m * d), in the precision of `value`.
    """
    compute = BACKENDS[backend] if backend else choose_backend(value)
    precision = sampling_locations.dtype
    attended = compute(value.to(precision), spatial_shapes, sampling_locations, attention_weights.to(precision))
    return attended.to(value.dtype)


def choose_backend(value: Tensor) -> Backend:
    """Return the fastest back end for some values: compiled if a package has it; plain while a model is exported."""
    if is_plain():
        return plain_attention
    if has_compiled(value):
        return compiled_attention
    return gathered_attention if value.device.type == "cpu" else grid_sampled_attention


def grid_sampled_attention(
    value: Tensor, spatial_shapes: Sequence[Size], sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """Compute the attention with one `grid_sample` per level, and one weighted sum over all levels."""
    b, _, m, d = value.shape
    q, p, num_levels = sampling_locations.shape[1], sampling_locations.shape[4], len(spatial_shapes)
    # One (b*m, d, h, w) map and one (b*m, q, p, 2) grid per level.
    grids = (2 * sampling_locations - 1).permute(3, 0, 2, 1, 4, 5).reshape(num_levels, b * m, q, p, 2)
    weights = attention_weights.transpose(1, 2).reshape(b * m, 1, q, num_levels * p)
    values = value.permute(0, 2, 3, 1).reshape(b * m, d, -1)
    levels = values.split([height * width for height, width in spatial_shapes], dim=-1)
    sampled = [
        functional.grid_sample(level.unflatten(-1, shape), grid, align_corners=False)
        for shape, level, grid in zip(spatial_shapes, levels, grids, strict=True)
    ]
    attended = (torch.cat(sampled, -1) * weights).sum(-1)
    return attended.view(b, m * d, q).transpose(1, 2)


BACKENDS: dict[str, Backend] = {
    "grid_sample": grid_sampled_attention,
    "gather": gathered_attention,
    "plain": plain_attention,
}
