"""Deformable attention for CPUs: one weighted gather over all levels, points and corners.

What a query reads is a weighted sum of rows of one table, the values of a head. `embedding_bag` computes such sums
several times faster than `grid_sample` samples maps, because the channels of a row lie side by side. Its own gradient
for the table is slow; here that is a gather too: for each cell, over the queries that read it. Only the inputs are kept
for the backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from vclr.structures import Size


def gathered_attention(
    value: Tensor, spatial_shapes: Sequence[Size], sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """Compute what `vclr.ops.deformable_attention.deformable_attention` does; all inputs of one precision."""
    return _GatheredAttention.apply(value, spatial_shapes, sampling_locations, attention_weights)  # type: ignore


class _GatheredAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, value: Tensor, spatial_shapes: Sequence[Size], sampling_locations: Tensor, attention_weights: Tensor
    ) -> Tensor:
        ctx.save_for_backward(value, sampling_locations, attention_weights)
        ctx.spatial_shapes = spatial_shapes
        b, _, m, d = value.shape
        reads = _locate(sampling_locations, spatial_shapes)
        weights = reads.corner_weights(_by_head(attention_weights)).flatten(1)
        table = _tabulate(value, spatial_shapes)
        attended = functional.embedding_bag(reads.rows(), table, mode="sum", per_sample_weights=weights)
        return attended.view(b, m, -1, d).transpose(1, 2).flatten(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor, Tensor]:
        value, sampling_locations, attention_weights = ctx.saved_tensors
        b, _, m, d = value.shape
        reads, weights = _locate(sampling_locations, ctx.spatial_shapes), _by_head(attention_weights)
        grad = grad.unflatten(2, (m, d)).transpose(1, 2).reshape(-1, d)
        grad_value = _sum_over_readers(grad, reads, reads.corner_weights(weights), value.shape, ctx.spatial_shapes)
        by_weight, *by_point = reads.interpolate(_dot(_tabulate(value, ctx.spatial_shapes), reads.rows(), grad))

        grad_weights = torch.empty_like(attention_weights)
        grad_weights.transpose(1, 2).copy_(by_weight.view_as(grad_weights.transpose(1, 2)))
        grad_locations = torch.empty_like(sampling_locations)
        for axis, by_axis in enumerate(by_point):
            side = _sides(ctx.spatial_shapes, value)[axis, :, None]
            by_head = by_axis.mul_(weights).view_as(grad_weights.transpose(1, 2))
            torch.mul(by_head, side, out=grad_locations[..., axis].transpose(1, 2))
        return grad_value, None, grad_locations, grad_weights


@dataclass
class _Reads:
    """The rows of the table that are read. A bag is a query in a head (n = b * m * q) with r = l * p readings.

    Attributes:
        cells: (n, r) int32 row of the upper left corner.
        strides: (r,) int32 rows from a corner to the one below it.
        x: (n, r) distance from the left corner, in [0, 1].
        y: (n, r) distance from the upper corner, in [0, 1].
        inside: (2, n, r) for x and y: 1.0, or 0.0 where the point is so far outside that moving it changes nothing.
    """

    cells: Tensor
    strides: Tensor
    x: Tensor
    y: Tensor
    inside: Tensor

    def rows(self) -> Tensor:
        """Return the rows (n, 4 * r) of the corners: upper left, upper right, lower left, lower right."""
        n, r = self.cells.shape
        rows = self.cells.new_empty(n, 4, r)
        rows[:, 0] = self.cells
        torch.add(self.cells, 1, out=rows[:, 1])
        torch.add(self.cells, self.strides, out=rows[:, 2])
        torch.add(rows[:, 2], 1, out=rows[:, 3])
        return rows.flatten(1)

    def corner_weights(self, weights: Tensor) -> Tensor:
        """Distribute the weights (n, r) of the readings to their corners, (n, 4, r)."""
        lower = weights * self.y
        upper = weights - lower
        n, r = weights.shape
        corners = weights.new_empty(n, 4, r)
        for half, left, right in ((upper, 0, 1), (lower, 2, 3)):
            torch.mul(half, self.x, out=corners[:, right])
            torch.sub(half, corners[:, right], out=corners[:, left])
        return corners

    def interpolate(self, corners: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Interpolate (n, 4, r) between the corners; return the values (n, r) and their slopes along x and along y."""
        upper_left, upper_right, lower_left, lower_right = corners.unbind(1)
        upper_slope, lower_slope = upper_right - upper_left, lower_right - lower_left
        upper, lower = torch.addcmul(upper_left, upper_slope, self.x), torch.addcmul(lower_left, lower_slope, self.x)
        slope_y = lower - upper
        slope_x = torch.lerp(upper_slope, lower_slope, self.y)
        return torch.addcmul(upper, slope_y, self.y), slope_x * self.inside[0], slope_y * self.inside[1]


def _locate(sampling_locations: Tensor, spatial_shapes: Sequence[Size]) -> _Reads:
    """Find the cells that the sampling points (b, q, m, l, p, 2) lie in, in the table of `_tabulate`.

    A point beyond the border of zeros is moved onto the border, where it reads the same.
    """
    b, _, m, _, num_points, _ = sampling_locations.shape
    sides = _sides(spatial_shapes, sampling_locations).repeat_interleave(num_points, 1)[:, None]
    points = sampling_locations.permute(5, 0, 2, 1, 3, 4).flatten(1, 3).flatten(2)
    points = (points * sides).sub_(0.5)
    moved = points.clamp(min=-1.0).minimum(sides)
    inside = (points == moved).to(points.dtype)
    corners = moved.floor().minimum(sides - 1)
    x, y = moved.sub_(corners)
    # A point of a diverged training lies nowhere; its weights, from x and y, are not finite either.
    column, row = corners.nan_to_num_(0.0).to(torch.int32).add_(1)

    widths = [width + 2 for _, width in spatial_shapes]
    strides = torch.tensor(widths, dtype=torch.int32).repeat_interleave(num_points)
    starts = torch.tensor(_starts(spatial_shapes), dtype=torch.int32)
    tables = torch.arange(b * m, dtype=torch.int32)[:, None] * starts[-1]
    first_rows = (tables + starts[:-1]).repeat_interleave(num_points, 1)
    cells = row.mul_(strides).add_(column).view(b * m, -1, len(strides)).add_(first_rows[:, None])
    return _Reads(cells.flatten(0, 1), strides, x, y, inside)


def _tabulate(value: Tensor, spatial_shapes: Sequence[Size]) -> Tensor:
    """Lay values (b, s, m, d) out by head, each level with a border of zeros, as rows (b * m * rows, d)."""
    b, _, m, d = value.shape
    starts = _starts(spatial_shapes)
    table = value.new_zeros(b, m, starts[-1], d)
    for padded, level in zip(_padded_levels(table, spatial_shapes), _levels(value, spatial_shapes), strict=True):
        padded[:, :, 1:-1, 1:-1] = level
    return table.view(-1, d)


def _sum_over_readers(
    grad: Tensor, reads: _Reads, corner_weights: Tensor, shape: torch.Size, spatial_shapes: Sequence[Size]
) -> Tensor:
    """Return the gradient of values (b, s, m, d): of each, the sum of the gradients (n, d) of those who read it."""
    b, _, m, d = shape
    cells = reads.cells.flatten()
    order = cells.argsort(stable=True)
    num_readers = torch.bincount(cells, minlength=b * m * _starts(spatial_shapes)[-1])
    offsets = (num_readers.cumsum(0) - num_readers).to(torch.int32)
    readers = order.div(reads.cells.shape[1], rounding_mode="floor").to(torch.int32)
    grad_value = grad.new_zeros(shape)
    for corner, (down, right) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        weights = corner_weights[:, corner].flatten()[order]
        sums = functional.embedding_bag(readers, grad, offsets, mode="sum", per_sample_weights=weights)
        levels = _padded_levels(sums.view(b, m, -1, d), spatial_shapes)
        # Sums are by the upper left corner: a cell finds those of its other corners in its neighbors.
        for level, padded, (height, width) in zip(
            _levels(grad_value, spatial_shapes), levels, spatial_shapes, strict=True
        ):
            level += padded[:, :, 1 - down : 1 - down + height, 1 - right : 1 - right + width]
    return grad_value


def _dot(table: Tensor, rows: Tensor, grad: Tensor) -> Tensor:
    """Return (n, 4, r) the product of each row that a bag reads with the bag's gradient (n, d)."""
    # A sum's gradient for its weights is just that.
    with torch.enable_grad():
        weights = table.new_zeros(rows.shape).requires_grad_()
        sums = functional.embedding_bag(rows, table, mode="sum", per_sample_weights=weights)
    return torch.autograd.grad(sums, weights, grad)[0].unflatten(1, (4, -1))


def _by_head(weights: Tensor) -> Tensor:
    """Turn attention weights (b, q, m, l, p) into (n, r)."""
    return weights.transpose(1, 2).flatten(0, 2).flatten(1)


def _sides(spatial_shapes: Sequence[Size], like: Tensor) -> Tensor:
    """Return width and height (2, l) of the levels."""
    return torch.tensor(spatial_shapes, dtype=like.dtype, device=like.device).T.flip(0)


def _starts(spatial_shapes: Sequence[Size]) -> list[int]:
    """Return the first row of each level in a head's table, and the number of rows."""
    starts = [0]
    for height, width in spatial_shapes:
        starts.append(starts[-1] + (height + 2) * (width + 2))
    return starts


def _padded_levels(table: Tensor, spatial_shapes: Sequence[Size]) -> list[Tensor]:
    """View tables (b, m, rows, d) as one (b, m, h + 2, w + 2, d) a level."""
    sizes = [(height + 2, width + 2) for height, width in spatial_shapes]
    parts = table.split([height * width for height, width in sizes], dim=2)
    return [part.unflatten(2, size) for part, size in zip(parts, sizes, strict=True)]


def _levels(value: Tensor, spatial_shapes: Sequence[Size]) -> list[Tensor]:
    """View values (b, s, m, d) as one (b, m, h, w, d) a level."""
    parts = value.transpose(1, 2).split([height * width for height, width in spatial_shapes], dim=2)
    return [part.unflatten(2, shape) for part, shape in zip(parts, spatial_shapes, strict=True)]
