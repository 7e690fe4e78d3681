"""The consistency loss: it compares the queries that student and teacher match to the same object."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vclr.config import MatcherConfig
from vclr.losses.consistency import consistency_loss
from vclr.losses.matcher import HungarianMatcher
from vclr.structures import Outputs, Target

BOXES = torch.tensor([[0.2, 0.2, 0.1, 0.1], [0.7, 0.3, 0.2, 0.2], [0.5, 0.8, 0.3, 0.2]])


def make_target(count: int) -> Target:
    masks = torch.zeros(count, 4, 4, dtype=torch.uint8)
    return Target(torch.zeros(count, dtype=torch.int64), BOXES[:count], masks, 0)


def make_outputs(boxes: list[Tensor], queries: list[Tensor]) -> Outputs:
    return Outputs(torch.zeros(len(boxes), len(BOXES), 1), torch.stack(boxes), torch.stack(queries))


def compute(student: Outputs, teacher: Outputs, targets: list[Target]) -> Tensor:
    logits = torch.stack([student.pred_logits, teacher.pred_logits])
    boxes = torch.stack([student.pred_boxes, teacher.pred_boxes])
    matching = HungarianMatcher(MatcherConfig())(logits, boxes, targets)
    return consistency_loss(student, teacher, matching, max(1.0, sum(map(len, targets))))


def test_identical_queries_give_minus_one():
    queries = torch.randn(3, 8)
    outputs = make_outputs([BOXES], [queries])
    assert compute(outputs, outputs, [make_target(3)]).item() == pytest.approx(-1, abs=1e-6)


def test_queries_are_paired_by_object_not_by_position():
    """The teacher's queries stand in another order, boxes and all: every pair is identical."""
    queries, order = torch.randn(3, 8), [2, 0, 1]
    student, teacher = make_outputs([BOXES], [queries]), make_outputs([BOXES[order]], [queries[order]])
    assert compute(student, teacher, [make_target(3)]).item() == pytest.approx(-1, abs=1e-6)


def test_only_matched_queries_count():
    student, other = torch.randn(3, 8), torch.randn(3, 8)
    other[0] = student[0]
    outputs, taught = make_outputs([BOXES], [student]), make_outputs([BOXES], [other])
    assert compute(outputs, taught, [make_target(1)]).item() == pytest.approx(-1, abs=1e-6)
    assert compute(outputs, taught, [make_target(3)]).item() > -0.99


def test_pairs_of_all_images_weigh_the_same():
    """Image one has three identical pairs, image two one opposite pair: (-1 - 1 - 1 + 1) / 4."""
    queries = torch.randn(3, 8)
    student, teacher = make_outputs([BOXES] * 2, [queries] * 2), make_outputs([BOXES] * 2, [queries, -queries])
    loss = compute(student, teacher, [make_target(3), make_target(1)])
    assert loss.item() == pytest.approx(-0.5, abs=1e-6)


def test_only_the_student_gets_a_gradient():
    student, teacher = (torch.randn(3, 8, requires_grad=True) for _ in range(2))
    compute(make_outputs([BOXES], [student]), make_outputs([BOXES], [teacher]), [make_target(2)]).backward()
    assert teacher.grad is None
    assert (student.grad != 0).any(-1).tolist() == [True, True, False]


def test_without_objects_the_loss_is_zero_and_differentiable():
    queries = torch.randn(3, 8, requires_grad=True)
    outputs = make_outputs([BOXES], [queries])
    loss = compute(outputs, outputs, [make_target(0)])
    loss.backward()
    assert loss == 0
    assert (queries.grad == 0).all()
