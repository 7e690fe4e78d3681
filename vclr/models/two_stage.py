"""The two-stage step: every cell of the memory proposes a box, and the best become the decoder's reference points."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from vclr.models.levels import Levels
from vclr.ops.plain import is_plain


@dataclass
class TopkProposals:
    """The cells that the two-stage step picks from memory.

    Attributes:
        memory: (b, q, d) the chosen cells.
        logits: (b, q, c) their class logits.
        boxes: (b, q, 4) cxcywh normalized, with gradient.
    """

    memory: Tensor
    logits: Tensor
    boxes: Tensor


class ProposalStage(nn.Module):
    """Score the cells of the memory and keep the best `num_queries`."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.output = nn.Linear(embed_dim, embed_dim)
        self.norm = nn.LayerNorm(embed_dim)

    def forward(
        self, memory: list[Levels], class_embed: nn.Module, bbox_embed: nn.Module, num_queries: int
    ) -> TopkProposals:
        """Choose cells by their largest class logit; the memory comes in parts of the batch, in order.

        Cells too near the border are zeroed and share one logit, but can still be chosen; their box is the whole image
        (1, 1, 1, 1). If an image has fewer cells than `num_queries`, which the reference cannot process, its cells are
        repeated in the same order.
        """
        parts = [self._choose(part, class_embed, bbox_embed, num_queries) for part in memory]
        names = [field.name for field in fields(TopkProposals)]
        return TopkProposals(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    def _choose(self, memory: Levels, class_embed: nn.Module, bbox_embed: nn.Module, num_queries: int) -> TopkProposals:
        proposal_logits, usable = memory.proposals()
        cells = self.norm(self.output(memory.features.masked_fill(~usable[..., None], 0.0)))
        logits = class_embed(cells)
        boxes = (bbox_embed(cells).float() + proposal_logits).sigmoid()
        num_cells = cells.shape[1]
        best = logits.amax(-1).topk(torch.sym_min(num_queries, num_cells), dim=1).indices
        if is_plain() or num_queries > num_cells:  # an exported model may not know
            best = best[:, torch.arange(num_queries, device=best.device) % best.shape[1]]
        best = best[..., None]
        return TopkProposals(
            memory=cells.gather(1, best.expand(-1, -1, cells.shape[-1])),
            logits=logits.gather(1, best.expand(-1, -1, logits.shape[-1])),
            boxes=boxes.gather(1, best.expand(-1, -1, 4)),
        )
