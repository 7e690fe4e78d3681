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


def l2_consistency(student: Tensor, teacher: Tensor, num_pairs: float) -> Tensor:
    """Return the sum of the mean squared differences of paired (n, d) features, divided by `num_pairs`."""
    return (student - teacher).square().mean(-1).sum() / num_pairs


def contrastive_consistency(
    student: Tensor, teacher: Tensor, others: Tensor, num_pairs: float, temperature: float
) -> Tensor:
    """Return the sum of the InfoNCE losses (van den Oord et al., 2018) of (n, d) features, divided by `num_pairs`.

    Each of the student's features is to be told by its cosine: its pair is among the teacher's features, and so are the
    other objects' features, which are those of `teacher` and `others` (m, d).
    """
    keys = functional.normalize(torch.cat([teacher, others]), dim=-1)
    cosines = functional.normalize(student, dim=-1) @ keys.T
    return -(cosines / temperature).log_softmax(-1).diagonal().sum() / num_pairs


def mean_in_masks(features: Tensor, masks: Tensor, boxes: Tensor) -> Tensor:
    """Return the mean (n, d) of the cells of a map (d, h, w) whose centers are in each mask.

    Masks (n, H, W) and boxes (n, 4), cxcywh normalized, cover the same image. A mask without a cell gets the cell that
    holds the center of its box.
    """
    height, width = features.shape[1:]
    rows, columns = (
        ((torch.arange(cells, device=masks.device) + 0.5) * (pixels / cells)).long()
        for cells, pixels in zip((height, width), masks.shape[1:], strict=True)
    )
    in_mask = masks[:, rows][:, :, columns].flatten(1) > 0
    column, row = ((boxes[:, axis] * cells).long().clamp(0, cells - 1) for axis, cells in enumerate((width, height)))
    is_center = torch.arange(height * width, device=masks.device) == (row * width + column)[:, None]
    cells = torch.where(in_mask.any(1, keepdim=True), in_mask, is_center).float()
    return cells @ features.flatten(1).T.float() / cells.sum(1, keepdim=True)


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
