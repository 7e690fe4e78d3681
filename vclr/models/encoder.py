"""The transformer encoder: deformable self-attention over all levels."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vclr.config import EncoderConfig
from vclr.models.attention import DeformableAttention, FeedForward, Span
from vclr.models.levels import Levels


class EncoderLayer(nn.Module):
    """Deformable self-attention and feed-forward, each followed by a LayerNorm."""

    def __init__(self, config: EncoderConfig, embed_dim: int, num_levels: int) -> None:
        super().__init__()
        self.attention = DeformableAttention(
            embed_dim, config.num_heads, num_levels, config.num_points, config.attn_dropout
        )
        self.attention_norm = nn.LayerNorm(embed_dim)
        self.feed_forward = FeedForward(embed_dim, config.feedforward_dim, config.ffn_dropout)
        self.feed_forward_norm = nn.LayerNorm(embed_dim)

    def forward(self, memory: Tensor, positions: Tensor, spans: list[Span]) -> Tensor:
        """Map the sequence (b, s, d) to (b, s, d)."""
        memory = self.attention_norm(self.attention(memory, positions, memory, spans))
        return self.feed_forward_norm(self.feed_forward(memory))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """A stack of encoder layers with a learned embedding of the level."""

    def __init__(self, config: EncoderConfig, embed_dim: int, num_levels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config, embed_dim, num_levels) for _ in range(config.num_layers))
        self.level_embeds = nn.Parameter(torch.randn(num_levels, embed_dim))
        self.use_checkpoint = config.use_checkpoint

    def forward(self, parts: list[Levels]) -> list[Levels]:
        """Return the memory of each part of a batch. They pass as one sequence in which each part reads only itself."""
        memory = _join([part.features for part in parts])
        positions = _join([self._positions(part) for part in parts])
        spans = [Span(part.reference_points(), part.spatial_shapes, part.padding_mask) for part in parts]
        for layer in self.layers:
            if self.use_checkpoint and self.training:
                memory = checkpoint(layer, memory, positions, spans, use_reentrant=False)
            else:
                memory = layer(memory, positions, spans)
        by_part = memory.split([part.features.shape[1] for part in parts], 1)
        return [replace(part, features=own) for part, own in zip(parts, by_part, strict=True)]

    def _positions(self, levels: Levels) -> Tensor:
        """Return the embedding (b or 1, s, d) of cell and level."""
        num_cells = [height * width for height, width in levels.spatial_shapes]
        of_level = [embed.expand(count, -1) for embed, count in zip(self.level_embeds, num_cells, strict=True)]
        return levels.positions() + torch.cat(of_level)


def _join(sequences: list[Tensor]) -> Tensor:
    return sequences[0] if len(sequences) == 1 else torch.cat(sequences, 1)
