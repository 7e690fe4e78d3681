"""The losses as pure functions. Each sums over its elements and divides by the number of boxes.

Dimensions in front of those that a docstring names pass through, so each decoder layer gets its own sum.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vclr.ops.boxes import cxcywh_to_xyxy, paired_giou


def focal_loss(logits: Tensor, labels: Tensor, alpha: float, gamma: float, num_boxes: float) -> Tensor:
    """Return the sigmoid focal loss (Lin et al., ICCV 2017) of (..., b, q, c) logits and 0/1 labels."""
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    probabilities = logits.sigmoid()
    of_label = probabilities * labels + (1 - probabilities) * (1 - labels)
    balance = alpha * labels + (1 - alpha) * (1 - labels)
    return (balance * cross_entropy * (1 - of_label) ** gamma).sum((-3, -2, -1)) / num_boxes


def box_l1_loss(predicted: Tensor, target: Tensor, num_boxes: float) -> Tensor:
    """Return the L1 distance of paired (..., n, 4) normalized cxcywh boxes."""
    return (predicted - target).abs().sum((-2, -1)) / num_boxes


def giou_loss(predicted: Tensor, target: Tensor, num_boxes: float) -> Tensor:
    """Return one minus the generalized IoU of paired (..., n, 4) normalized cxcywh boxes."""
    return (1 - paired_giou(cxcywh_to_xyxy(predicted), cxcywh_to_xyxy(target))).sum(-1) / num_boxes


def mask_loss(logits: Tensor, labels: Tensor, num_boxes: float) -> Tensor:
    """Return the binary cross-entropy of paired (..., n, p) point logits and labels, averaged over the points."""
    return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(-1).sum(-1) / num_boxes


def dice_loss(logits: Tensor, labels: Tensor, num_boxes: float) -> Tensor:
    """Return one minus the dice coefficient of paired (..., n, p) point logits and labels, smoothed by one point."""
    probabilities = logits.sigmoid()
    overlap = 2 * (probabilities * labels).sum(-1) + 1
    return (1 - overlap / (probabilities.sum(-1) + labels.sum(-1) + 1)).sum(-1) / num_boxes


def cosine_consistency(student: Tensor, teacher: Tensor, num_pairs: float) -> Tensor:
    """Return minus the sum of the cosines of paired (n, d) queries (paper section 3.3), divided by `num_pairs`."""
    return -functional.cosine_similarity(student, teacher, dim=-1).sum() / num_pairs


def focal_cost(logits: Tensor, alpha: float, gamma: float) -> Tensor:
    """Return the cost of matching a query to an object of each class: (..., c) logits -> (..., c)."""
    probabilities = logits.sigmoid()
    negative = (1 - alpha) * probabilities**gamma * -(1 - probabilities + 1e-8).log()
    positive = alpha * (1 - probabilities) ** gamma * -(probabilities + 1e-8).log()
    return positive - negative


def one_hot_labels(logits: Tensor, matched: Tensor, labels: Tensor) -> Tensor:
    """Return 0/1 labels shaped like the logits (..., c): the flattened rows `matched` (k) have `labels` (k)."""
    one_hot = torch.zeros_like(logits, memory_format=torch.contiguous_format)
    one_hot.view(-1, logits.shape[-1])[matched, labels] = 1
    return one_hot
