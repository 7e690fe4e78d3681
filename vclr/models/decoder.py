"""The transformer decoder: queries refine their boxes layer by layer."""

from __future__ import annotations

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vclr.config import DecoderConfig
from vclr.models.attention import MLP, DeformableAttention, FeedForward, SelfAttention, Span
from vclr.models.levels import Levels
from vclr.models.position import embed_boxes
from vclr.ops.boxes import inverse_sigmoid


class DecoderLayer(nn.Module):
    """Self-attention, deformable cross-attention and feed-forward, each followed by a LayerNorm."""

    def __init__(self, config: DecoderConfig, embed_dim: int, num_levels: int) -> None:
        super().__init__()
        self.self_attention = SelfAttention(embed_dim, config.num_heads, config.attn_dropout)
        self.self_attention_norm = nn.LayerNorm(embed_dim)
        self.cross_attention = DeformableAttention(
            embed_dim, config.num_heads, num_levels, config.num_points, config.attn_dropout
        )
        self.cross_attention_norm = nn.LayerNorm(embed_dim)
        self.feed_forward = FeedForward(embed_dim, config.feedforward_dim, config.ffn_dropout)
        self.feed_forward_norm = nn.LayerNorm(embed_dim)

    def forward(
        self, queries: Tensor, query_pos: Tensor, memory: Tensor, span: Span, seen: Tensor | None = None
    ) -> Tensor:
        """Map the queries (b, q, d) to (b, q, d)."""
        queries = self.self_attention_norm(self.self_attention(queries, query_pos, seen))
        attended = self.cross_attention(queries, query_pos, memory, [span])
        return self.feed_forward_norm(self.feed_forward(self.cross_attention_norm(attended)))  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """A stack of decoder layers with iterative box refinement, looking forward twice (DINO, section 3.5)."""

    def __init__(self, config: DecoderConfig, embed_dim: int, num_levels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config, embed_dim, num_levels) for _ in range(config.num_layers))
        self.norm = nn.LayerNorm(embed_dim)
        self.reference_point_head = MLP(2 * embed_dim, embed_dim, embed_dim, 2)
        self.embed_dim = embed_dim
        self.use_checkpoint = config.use_checkpoint

    def forward(
        self,
        queries: Tensor,
        reference_points: Tensor,
        memory: Levels,
        bbox_embed: nn.ModuleList,
        seen: Tensor | None = None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Refine queries and boxes.

        Args:
            queries: (b, q, d) initial content.
            reference_points: (b, q, 4) initial boxes, cxcywh normalized, without gradient.
            memory: what the queries read.
            bbox_embed: the box head of each layer.
            seen: (k, q) which queries each of the last k sees; the others see one another alone. None: all see all.

        Returns:
            The normed queries (b, q, d) and the boxes (b, q, 4) cxcywh normalized of each layer.
        """
        states, boxes = [], []
        attached = reference_points
        scale, padding_mask = memory.valid_ratios.repeat(1, 1, 2)[:, None], memory.padding_mask
        for layer, box_head in zip(self.layers, bbox_embed[: len(self.layers)], strict=True):
            scaled = reference_points[:, :, None] * scale
            span = Span(scaled, memory.spatial_shapes, padding_mask)
            # The reference embeds the box relative to the padded finest level, so its position depends on the padding.
            embedded = scaled[:, :, 0] if memory.pads_like_reference else reference_points
            query_pos = self.reference_point_head(embed_boxes(embedded, self.embed_dim))
            if self.use_checkpoint and self.training:
                queries = checkpoint(layer, queries, query_pos, memory.features, span, seen, use_reentrant=False)
            else:
                queries = layer(queries, query_pos, memory.features, span, seen)
            states.append(self.norm(queries))
            # A layer's box passes its gradient to the previous refinement; the next reference point does not.
            boxes.append((box_head(states[-1]).float() + inverse_sigmoid(attached)).sigmoid())
            attached = (box_head(queries).float() + inverse_sigmoid(reference_points)).sigmoid()
            reference_points = attached.detach()
        return states, boxes
