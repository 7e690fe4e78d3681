"""Non-maximum suppression."""

from __future__ import annotations

import torch
from torch import Tensor

from vclr.ops.boxes import area


def nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Return the indices of the (n, 4) xyxy boxes that no box with a higher score (n,) overlaps, best first.

    Two boxes overlap if their IoU is above `threshold`.
    """
    order = scores.argsort(descending=True, stable=True)
    ranked = boxes[order].float()
    top_left = torch.maximum(ranked[:, None, :2], ranked[None, :, :2])
    bottom_right = torch.minimum(ranked[:, None, 2:], ranked[None, :, 2:])
    intersection = (bottom_right - top_left).clamp(min=0).prod(-1)
    areas = area(ranked)
    # Compared without a division, so boxes without area suppress nothing.
    overlaps = intersection > threshold * (areas[:, None] + areas[None] - intersection)
    better_overlaps = overlaps.cpu().numpy()  # the greedy pass is sequential: one transfer instead of n
    keep = []
    suppressed = [False] * len(ranked)
    for rank in range(len(ranked)):
        if suppressed[rank]:
            continue
        keep.append(rank)
        for other in better_overlaps[rank, rank + 1 :].nonzero()[0]:
            suppressed[rank + 1 + other] = True
    return order[torch.tensor(keep, dtype=torch.long, device=order.device)]
