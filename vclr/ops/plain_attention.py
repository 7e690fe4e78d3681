"""Deformable attention in plain operations, for exported models: rows of a table, gathered and summed.

`grid_sample` would be shorter, but runtimes differ in it: TensorRT has fused it into silently wrong results.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vclr.ops.constants import upload
from vclr.structures import Size


def plain_attention(
    value: Tensor, spatial_shapes: Sequence[Size], sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """Compute what `vclr.ops.deformable_attention.deformable_attention` does, for sizes that may be symbols."""
    b, s, m, d = value.shape
    num_queries, num_levels, num_points = sampling_locations.shape[1], *sampling_locations.shape[3:5]
    device, dtype = value.device, sampling_locations.dtype
    # Letters: n bag, a query in a head (b * q * m); r reading of a bag (l * p).
    sides = upload([(width, height) for height, width in spatial_shapes], device, dtype)  # (l, 2)
    widths = upload([width for _, width in spatial_shapes], device, torch.int64)[:, None]
    starts = upload(_starts(spatial_shapes), device, torch.int64)[:, None]
    points = sampling_locations * sides[:, None] - 0.5  # (b, q, m, l, p, 2), in cells
    corners = points.floor()
    fractions = points - corners
    # The table's rows are ordered by image, cell and head.
    heads = torch.arange(m, device=device)[:, None, None]
    first_rows = (torch.arange(b, device=device) * s)[:, None, None, None, None]
    table = value.reshape(b * s * m, d)
    total = value.new_zeros(())
    for down in (0, 1):
        for right in (0, 1):
            corner = corners + upload((right, down), device, dtype)
            inside = ((corner >= 0) & (corner < sides[:, None])).all(-1)
            weights = attention_weights * _share(fractions, right, down) * inside
            column, row = torch.minimum(corner.clamp(min=0), sides[:, None] - 1).long().unbind(-1)
            rows = (first_rows + starts + row * widths + column) * m + heads
            read = table.index_select(0, rows.reshape(-1)).reshape(-1, num_levels * num_points, d)  # (n, r, d)
            total = total + weights.reshape(-1, 1, num_levels * num_points) @ read
    return total.reshape(b, num_queries, m * d)


def _share(fractions: Tensor, right: int, down: int) -> Tensor:
    """Return the weight of a corner (...), from the distances (..., 2) to the upper left one."""
    x, y = fractions.unbind(-1)
    return (x if right else 1 - x) * (y if down else 1 - y)


def _starts(spatial_shapes: Sequence[Size]) -> list[int]:
    """Return the position of each level's first cell."""
    starts = [0]
    for height, width in spatial_shapes[:-1]:
        starts.append(starts[-1] + height * width)
    return starts
