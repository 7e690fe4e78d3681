"""Geometry of boxes. `cxcywh` and `xyxy` are named in each function; units (normalized or pixels) pass through."""

from __future__ import annotations

import torch
from torch import Tensor

# Added to unions and hulls, so that empty boxes give 0 instead of NaN, as in the reference.
AREA_EPSILON = 1e-6


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """Convert (..., 4) boxes from center and size to corners."""
    center_x, center_y, width, height = boxes.unbind(-1)
    corners = center_x - 0.5 * width, center_y - 0.5 * height, center_x + 0.5 * width, center_y + 0.5 * height
    return torch.stack(corners, -1)


def xyxy_to_cxcywh(boxes: Tensor) -> Tensor:
    """Convert (..., 4) boxes from corners to center and size."""
    left, top, right, bottom = boxes.unbind(-1)
    return torch.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], -1)


def area(boxes: Tensor) -> Tensor:
    """Return the areas (...) of (..., 4) xyxy boxes."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def pairwise_iou(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return intersection over union and union, both (..., n, k), of (..., n, 4) and (..., k, 4) xyxy boxes."""
    first, second = first[..., :, None, :], second[..., None, :, :]
    top_left = torch.maximum(first[..., :2], second[..., :2])
    bottom_right = torch.minimum(first[..., 2:], second[..., 2:])
    intersection = (bottom_right - top_left).clamp(min=0).prod(-1)
    union = area(first) + area(second) - intersection
    return intersection / (union + AREA_EPSILON), union


def pairwise_giou(first: Tensor, second: Tensor) -> Tensor:
    """Return generalized IoU (..., n, k) of (..., n, 4) and (..., k, 4) xyxy boxes (Rezatofighi et al., CVPR 2019)."""
    iou, union = pairwise_iou(first, second)
    first, second = first[..., :, None, :], second[..., None, :, :]
    top_left = torch.minimum(first[..., :2], second[..., :2])
    bottom_right = torch.maximum(first[..., 2:], second[..., 2:])
    hull = (bottom_right - top_left).clamp(min=0).prod(-1)
    return iou - (hull - union) / (hull + AREA_EPSILON)


def paired_giou(first: Tensor, second: Tensor) -> Tensor:
    """Return generalized IoU (...) of each pair of (..., 4) xyxy boxes, without computing all pairs."""
    return pairwise_giou(first[..., None, :], second[..., None, :])[..., 0, 0]


def inverse_sigmoid(values: Tensor, epsilon: float = 1e-3) -> Tensor:
    """Return the logit of values in [0, 1], with numerator and denominator clamped from below by `epsilon`.

    The default is the reference's, and moves every box near the image border: it belongs to the method.
    """
    values = values.clamp(0, 1)
    return torch.log(values.clamp(min=epsilon) / (1 - values).clamp(min=epsilon))
