"""Boxes: conversions undo each other, IoU is what counting pixels gives, the logit is clamped."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vclr.ops.boxes import (
    area,
    cxcywh_to_xyxy,
    inverse_sigmoid,
    paired_giou,
    pairwise_giou,
    pairwise_iou,
    xyxy_to_cxcywh,
)


def draw_boxes(count: int, side: int = 20, seed: int = 0) -> Tensor:
    """Boxes with whole corners and an area."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, side - 1, (count, 2), generator=generator)
    size = torch.randint(1, side, (count, 2), generator=generator)
    return torch.cat([corner, (corner + size).clamp(max=side)], 1).float()


def paint(box: Tensor, side: int = 20) -> Tensor:
    mask = torch.zeros(side, side, dtype=torch.bool)
    left, top, right, bottom = box.int().tolist()
    mask[top:bottom, left:right] = True
    return mask


def test_conversions_undo_each_other():
    boxes = torch.rand(3, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(cxcywh_to_xyxy(xyxy_to_cxcywh(boxes)), boxes)
    assert cxcywh_to_xyxy(torch.tensor([5.0, 6.0, 2.0, 4.0])).tolist() == [4.0, 4.0, 6.0, 8.0]


def test_iou_is_what_counting_pixels_gives():
    first, second = draw_boxes(12), draw_boxes(9, seed=1)
    iou, union = pairwise_iou(first, second)
    for row, one in enumerate(map(paint, first)):
        assert area(first)[row] == one.sum()
        for column, other in enumerate(map(paint, second)):
            assert union[row, column] == (one | other).sum()
            assert iou[row, column].item() == pytest.approx(((one & other).sum() / (one | other).sum()).item())


def test_giou_of_known_boxes():
    box, same, beside = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[3.0, 0, 4, 1]])
    assert pairwise_giou(box, same).item() == pytest.approx(1.0, abs=1e-5)
    # Union 2, hull 4: -(4 - 2) / 4.
    assert pairwise_giou(box, beside).item() == pytest.approx(-0.5, abs=1e-5)


def test_paired_giou_is_the_diagonal():
    first, second = draw_boxes(15), draw_boxes(15, seed=1)
    torch.testing.assert_close(paired_giou(first, second), pairwise_giou(first, second).diagonal())


def test_giou_is_symmetric_and_bounded():
    giou = pairwise_giou(draw_boxes(20), draw_boxes(20, seed=1))
    torch.testing.assert_close(giou, pairwise_giou(draw_boxes(20, seed=1), draw_boxes(20)).T)
    assert giou.max() <= 1
    assert giou.min() >= -1


@pytest.mark.parametrize("function", [pairwise_giou, paired_giou])
def test_empty_boxes_have_a_finite_giou_and_gradient(function):
    empty = torch.tensor([[0.5, 0.5, 0.5, 0.5]], requires_grad=True)
    giou = function(empty, torch.tensor([[0.5, 0.5, 0.5, 0.5]])).sum()
    giou.backward()
    assert giou.isfinite()
    assert empty.grad.isfinite().all()


def test_no_boxes():
    assert pairwise_giou(torch.zeros(0, 4), torch.zeros(3, 4)).shape == (0, 3)
    assert paired_giou(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0,)


def test_inverse_sigmoid_inverts_between_its_limits():
    values = torch.linspace(0.002, 0.998, 50, dtype=torch.float64)
    torch.testing.assert_close(inverse_sigmoid(values).sigmoid(), values)
    ends = inverse_sigmoid(torch.tensor([-1.0, 0.0, 1.0, 2.0])).sigmoid()
    torch.testing.assert_close(ends, torch.tensor([0.000999, 0.000999, 0.999001, 0.999001]), rtol=0, atol=1e-6)
