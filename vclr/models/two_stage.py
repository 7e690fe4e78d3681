"""The two-stage step: every cell of the memory proposes a box, and the best become the decoder's reference points."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from vclr.models.levels import Levels
from vclr.ops.constants import upload
from vclr.ops.plain import is_plain


@dataclass
class TopkProposals:
    """The cells that the two-stage step picks from memory.

    Attributes:
        memory: (b, q, d) the chosen cells.
        logits: (b, q, c) their class logits.
        boxes: (b, q, 4) cxcywh normalized, with gradient.
        cells: (b, q) int64, their positions in the memory of their part of the batch.
    """

    memory: Tensor
    logits: Tensor
    boxes: Tensor
    cells: Tensor


class ProposalStage(nn.Module):
    """Score the cells of the memory and keep the best `num_queries`."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.output = nn.Linear(embed_dim, embed_dim)
        self.norm = nn.LayerNorm(embed_dim)

    def forward(
        self,
        memory: list[Levels],
        class_embed: nn.Module,
        bbox_embed: nn.Module,
        num_queries: int,
        chosen: list[Tensor] | None = None,
    ) -> TopkProposals:
        """Choose cells by their largest class logit; the memory comes in parts of the batch, in order.

        Cells too near the border are zeroed and share one logit, but can still be chosen; their box is the whole image
        (1, 1, 1, 1). If an image has fewer cells than `num_queries`, which the reference cannot process, its cells are
        repeated in the same order.

        `chosen` are the cells (n, q) of each part that another program has chosen, to compare with it.
        """
        parts = [
            self._choose(part, class_embed, bbox_embed, num_queries, chosen[place] if chosen else None)
            for place, part in enumerate(memory)
        ]
        names = [field.name for field in fields(TopkProposals)]
        return TopkProposals(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    def _choose(
        self,
        memory: Levels,
        class_embed: nn.Module,
        bbox_embed: nn.Module,
        num_queries: int,
        chosen: Tensor | None,
    ) -> TopkProposals:
        proposal_logits, usable = memory.proposals()
        cells = self.norm(self.output(memory.features.masked_fill(~usable[..., None], 0.0)))
        logits = class_embed(cells)
        boxes = (bbox_embed(cells).float() + proposal_logits).sigmoid()
        best = _rank(logits.amax(-1), num_queries) if chosen is None else chosen
        of_cell = best[..., None]
        return TopkProposals(
            memory=cells.gather(1, of_cell.expand(-1, -1, cells.shape[-1])),
            logits=logits.gather(1, of_cell.expand(-1, -1, logits.shape[-1])),
            boxes=boxes.gather(1, of_cell.expand(-1, -1, 4)),
            cells=best,
        )


def _rank(scores: Tensor, count: int) -> Tensor:
    """Return the `count` cells (b, q) with the highest scores (b, s), best first; repeated if there are fewer."""
    best = scores.topk(torch.sym_min(count, scores.shape[1]), dim=1).indices
    if is_plain() or count > scores.shape[1]:  # an exported model may not know
        best = best[:, torch.arange(count, device=best.device) % upload(best.shape[1], best.device, torch.int64)]
    return best
