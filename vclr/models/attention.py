"""The attention and feed-forward blocks of encoder and decoder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from vclr.models.cells import Shapes, level_sides
from vclr.ops.deformable_attention import deformable_attention
from vclr.ops.plain import is_plain
from vclr.ops.precision import in_compute_precision

# Few enough that the hidden layer of a feed-forward block stays in a processor's cache.
TOKENS_AT_ONCE = 1024


@dataclass
class Span:
    """A part of the sequences whose queries read the same levels: everything, or the images of one size.

    Attributes:
        reference_points: (b, q, l, 2) points, or (b, q, l, 4) cxcywh boxes, normalized over the padded map; b is 1 if
            all images share them.
        spatial_shapes: (height, width) of each level.
        padding_mask: (b, s) True where padded; nothing is read there. None: nothing is padded.
    """

    reference_points: Tensor
    spatial_shapes: Shapes
    padding_mask: Tensor | None = None


class DeformableAttention(nn.Module):
    """Multi-scale deformable attention with a residual connection (Zhu et al., ICLR 2021, section 4.1)."""

    def __init__(self, embed_dim: int, num_heads: int, num_levels: int, num_points: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        self.dropout = dropout
        self.sampling_offsets = nn.Linear(embed_dim, num_heads * num_levels * num_points * 2)
        self.attention_weights = nn.Linear(embed_dim, num_heads * num_levels * num_points)
        self.value_proj = nn.Linear(embed_dim, embed_dim)
        self.output_proj = nn.Linear(embed_dim, embed_dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start with each head looking in its own direction, with point k at a distance of k cells."""
        nn.init.zeros_(self.sampling_offsets.weight)
        angles = torch.arange(self.num_heads, dtype=torch.float32) * (2.0 * math.pi / self.num_heads)
        directions = torch.stack([angles.cos(), angles.sin()], -1)
        directions = directions / directions.abs().amax(-1, keepdim=True)
        distances = torch.arange(1, self.num_points + 1, dtype=torch.float32)
        offsets = directions[:, None, None] * distances[:, None]
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.expand(-1, self.num_levels, -1, -1).reshape(-1))
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(self, query: Tensor, query_pos: Tensor, value: Tensor, spans: list[Span]) -> Tensor:
        """Attend from each query to a few points around its reference on every level.

        Args:
            query: (b, q, d).
            query_pos: (b or 1, q, d), added to the query for offsets and weights only.
            value: (b, s, d) all levels, flattened.
            spans: the part of the levels that each query reads: one span of all q and s, or one span after another.

        Returns:
            (b, q, d), the query included.
        """
        located = in_compute_precision(query + query_pos)
        # Offsets and weights are float32 in mixed precision too: in bfloat16, points would be off by whole cells.
        offsets = self.sampling_offsets(located).float()
        weights = self.attention_weights(located).unflatten(-1, (self.num_heads, -1)).float().softmax(-1)
        num_queries = [span.reference_points.shape[1] for span in spans]
        num_cells = [sum(height * width for height, width in span.spatial_shapes) for span in spans]
        parts = zip(
            self.value_proj(value).split(num_cells, 1),
            offsets.split(num_queries, 1),
            weights.split(num_queries, 1),
            spans,
            strict=True,
        )
        read = [self._read(*part) for part in parts]
        attended = self.output_proj(read[0] if len(read) == 1 else torch.cat(read, 1))
        return functional.dropout(attended, self.dropout, self.training) + query

    def _read(self, values: Tensor, offsets: Tensor, weights: Tensor, span: Span) -> Tensor:
        """Return the sum (b, q, d) of what each query of a span reads."""
        if span.padding_mask is not None:
            values = values.masked_fill(span.padding_mask[..., None], 0.0)
        points = (self.num_heads, self.num_levels, self.num_points)
        locations = self._locate(span, offsets.unflatten(-1, (*points, 2)))
        weights = weights.unflatten(-1, points[1:])
        return deformable_attention(values.unflatten(-1, (self.num_heads, -1)), span.spatial_shapes, locations, weights)

    def _locate(self, span: Span, offsets: Tensor) -> Tensor:
        """Turn offsets (b, q, m, l, p, 2), in cells (points) or fractions (boxes), into normalized locations."""
        centers = span.reference_points[:, :, None, :, None, :2]
        if span.reference_points.shape[-1] == 2:
            return centers + offsets / level_sides(span.spatial_shapes, offsets.device, offsets.dtype)[:, None]
        return centers + offsets / self.num_points * span.reference_points[:, :, None, :, None, 2:] * 0.5


class SelfAttention(nn.Module):
    """Multi-head self-attention among queries; positions enter queries and keys, not values."""

    def __init__(self, embed_dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(embed_dim, num_heads, dropout, batch_first=True)

    def forward(self, query: Tensor, query_pos: Tensor, seen: Tensor | None = None) -> Tensor:
        """Return (b, q, d), the query included.

        `seen` (k, q) says which queries each of the last k sees; the others see one another alone. None: all see all.
        """
        # `nn.MultiheadAttention` holds the weights. By itself it would project queries and keys separately.
        own, d = self.attention, query.shape[-1]
        weight, weight_of_values = own.in_proj_weight.split((2 * d, d))
        bias, bias_of_values = own.in_proj_bias.split((2 * d, d))
        projected = functional.linear(query + query_pos, weight, bias).chunk(2, -1)
        values = functional.linear(query, weight_of_values, bias_of_values)
        q, k, v = (part.unflatten(-1, (own.num_heads, -1)).transpose(1, 2) for part in (*projected, values))
        dropout = own.dropout if self.training else 0.0
        attend = partial(functional.scaled_dot_product_attention, dropout_p=dropout)
        if seen is None:
            attended = attend(q, k, v)
        else:
            sizes = q.shape[2] - len(seen), len(seen)
            (first, last), (keys, _), (own_values, _) = (part.split(sizes, 2) for part in (q, k, v))
            attended = torch.cat([attend(first, keys, own_values), attend(last, k, v, attn_mask=seen)], 2)
        return query + own.out_proj(attended.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between and a residual connection."""

    def __init__(self, embed_dim: int, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.expand = nn.Linear(embed_dim, hidden_dim)
        self.contract = nn.Linear(hidden_dim, embed_dim)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """Return (b, s, d), the input included."""
        if x.device.type != "cpu" or is_plain():
            return x + functional.dropout(self._change(x), self.dropout, self.training)
        # The hidden layer is wide and quickly computed: a CPU computes it again for the gradient instead of keeping it.
        change = partial(checkpoint, self._change, use_reentrant=False) if torch.is_grad_enabled() else self._change
        parts = map(change, x.split(TOKENS_AT_ONCE, dim=1))
        return x + functional.dropout(torch.cat(list(parts), 1), self.dropout, self.training)

    def _change(self, x: Tensor) -> Tensor:
        hidden = functional.dropout(functional.relu(self.expand(x), inplace=True), self.dropout, self.training)
        return self.contract(hidden)  # type: ignore[no-any-return]


class MLP(nn.Module):
    """Linear layers with a ReLU between each two."""

    def __init__(self, in_dim: int, hidden_dim: int, out_dim: int, num_layers: int) -> None:
        super().__init__()
        dims = [in_dim] + [hidden_dim] * (num_layers - 1) + [out_dim]
        self.layers = nn.ModuleList(nn.Linear(dims[n], dims[n + 1]) for n in range(num_layers))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_dim) to (..., out_dim)."""
        for layer in self.layers[:-1]:
            x = functional.relu(layer(x), inplace=True)
        return self.layers[-1](x)  # type: ignore[no-any-return]
