"""Non-maximum suppression: agreement with the definition, box by box."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vclr.ops.boxes import pairwise_iou
from vclr.ops.nms import nms


def suppress_one_by_one(boxes: Tensor, scores: Tensor, threshold: float) -> list[int]:
    """Take the best box, drop what overlaps it, go on."""
    iou, _ = pairwise_iou(boxes.double(), boxes.double())
    left, kept = sorted(range(len(boxes)), key=lambda index: -scores[index].item()), []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [index for index in left if iou[best, index] <= threshold]
    return kept


@pytest.mark.parametrize("threshold", [0.3, 0.7])
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_the_definition(seed: int, threshold: float):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(80, 2, generator=generator)
    boxes = torch.cat([corner, corner + torch.rand(80, 2, generator=generator)], 1)
    scores = torch.rand(80, generator=generator)
    assert nms(boxes, scores, threshold).tolist() == suppress_one_by_one(boxes, scores, threshold)


def test_equal_scores_keep_their_order():
    boxes = torch.tensor([[0.0, 0, 1, 1], [5, 5, 6, 6], [0, 0, 1, 1]])
    assert nms(boxes, torch.full((3,), 0.5), 0.7).tolist() == [0, 1]


def test_boxes_without_an_area_stay():
    assert nms(torch.zeros(3, 4), torch.tensor([0.1, 0.3, 0.2]), 0.5).tolist() == [1, 2, 0]


def test_no_boxes():
    assert nms(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []
