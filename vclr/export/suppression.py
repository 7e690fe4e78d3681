"""Non-maximum suppression of a batch in tensor operations, which an exported model can hold."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._higher_order_ops.while_loop import while_loop

from vclr.ops.boxes import area


def keep_best(boxes: Tensor, threshold: float) -> Tensor:
    """Return which boxes (b, k, 4) xyxy, best first, no better kept box overlaps: (b, k) bool.

    The greedy choice of `vclr.ops.nms.nms` is the only one in which a box is kept if and only if no better kept box
    overlaps it. Each round below decides at least one more rank, and usually a few rounds decide all.
    """
    overlaps = _better_overlaps(boxes, threshold).float()

    def is_undecided(kept: Tensor, changed: Tensor) -> Tensor:
        return changed.any()

    def decide(kept: Tensor, changed: Tensor) -> tuple[Tensor, Tensor]:
        after = ((kept[:, None] @ overlaps)[:, 0] == 0).float()
        return after, (after != kept).any()[None]

    kept = torch.ones_like(boxes[..., 0])
    kept, _ = while_loop(is_undecided, decide, (kept, torch.ones(1, dtype=torch.bool, device=boxes.device)))
    return kept > 0


def _better_overlaps(boxes: Tensor, threshold: float) -> Tensor:
    """Return (b, k, k) bool: whether the box of the row is better than that of the column and overlaps it."""
    top_left = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    bottom_right = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    width, height = (bottom_right - top_left).clamp(min=0).unbind(-1)
    intersection, areas = width * height, area(boxes)
    overlaps = intersection > threshold * (areas[:, :, None] + areas[:, None] - intersection)
    ranks = torch.arange(boxes.shape[1], device=boxes.device)
    return overlaps & (ranks[:, None] < ranks)
