"""The losses: known values, and agreement with other ways of computing them."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from vclr.losses.functional import (
    box_l1_loss,
    cosine_consistency,
    dice_loss,
    focal_cost,
    focal_loss,
    giou_loss,
    mask_loss,
    one_hot_labels,
)


def test_focal_loss_without_focus_is_half_the_cross_entropy():
    logits, labels = torch.randn(2, 7, 1), (torch.rand(2, 7, 1) < 0.3).float()
    expected = functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / 2
    torch.testing.assert_close(focal_loss(logits, labels, alpha=0.5, gamma=0.0, num_boxes=1), expected)


def test_focal_loss_of_one_logit():
    """At logit 0: probability 0.5, cross-entropy log 2, focus 0.25, balance 0.25 or 0.75."""
    log_2 = torch.tensor(2.0).log()
    zero = torch.zeros(1, 1, 1)
    torch.testing.assert_close(focal_loss(zero, zero + 1, 0.25, 2.0, 1), 0.25 * 0.25 * log_2)
    torch.testing.assert_close(focal_loss(zero, zero, 0.25, 2.0, 1), 0.75 * 0.25 * log_2)


def test_focal_cost_is_the_loss_of_a_match_minus_that_of_none():
    logits = torch.randn(6, 1)
    cost = focal_cost(logits, 0.25, 2.0)
    for query, logit in enumerate(logits):
        one = logit.view(1, 1, 1)
        matched = focal_loss(one, torch.ones_like(one), 0.25, 2.0, 1)
        unmatched = focal_loss(one, torch.zeros_like(one), 0.25, 2.0, 1)
        torch.testing.assert_close(cost[query, 0], matched - unmatched, rtol=1e-4, atol=1e-5)


def test_perfect_predictions_cost_nothing():
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.3], [0.3, 0.4, 0.1, 0.1]])
    labels = (torch.rand(2, 50) < 0.5).float()
    logits = labels * 60 - 30
    assert box_l1_loss(boxes, boxes, 2) == 0
    assert giou_loss(boxes, boxes, 2).item() == pytest.approx(0, abs=1e-3)
    assert mask_loss(logits, labels, 2).item() == pytest.approx(0, abs=1e-6)
    assert dice_loss(logits, labels, 2).item() == pytest.approx(0, abs=1e-6)


def test_losses_are_sums_over_the_number_of_boxes():
    predicted, target = torch.rand(3, 4), torch.rand(3, 4)
    logits, labels = torch.randn(3, 20), (torch.rand(3, 20) < 0.5).float()
    for loss, first, second in (
        (box_l1_loss, predicted, target),
        (giou_loss, predicted, target),
        (mask_loss, logits, labels),
        (dice_loss, logits, labels),
    ):
        one_by_one = sum(loss(first[n : n + 1], second[n : n + 1], 1) for n in range(3))
        torch.testing.assert_close(loss(first, second, 5), one_by_one / 5)


def test_dice_of_an_empty_prediction():
    """One minus (2 * 0 + 1) / (0 + 4 + 1)."""
    assert dice_loss(torch.full((1, 4), -50.0), torch.ones(1, 4), 1).item() == pytest.approx(0.8)


def test_consistency_is_minus_the_cosine():
    queries = torch.randn(5, 8)
    assert cosine_consistency(queries, 3 * queries, 5).item() == pytest.approx(-1, abs=1e-6)
    assert cosine_consistency(queries, -queries, 5).item() == pytest.approx(1, abs=1e-6)
    first, second = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert cosine_consistency(first, second, 2).item() == pytest.approx(-0.5)


def test_consistency_of_nothing_is_zero_and_differentiable():
    student = torch.zeros(0, 8, requires_grad=True)
    loss = cosine_consistency(student, torch.zeros(0, 8), 1)
    loss.backward()
    assert loss == 0


def test_one_hot_labels_mark_the_matched_queries():
    one_hot = one_hot_labels(torch.zeros(2, 3, 2), torch.tensor([2, 3]), torch.tensor([1, 0]))
    assert one_hot.nonzero().tolist() == [[0, 2, 1], [1, 0, 0]]


def test_one_hot_labels_of_any_order_in_memory():
    logits = torch.zeros(3, 2, 2).transpose(0, 1)
    one_hot = one_hot_labels(logits, torch.tensor([2, 3]), torch.tensor([1, 0]))
    assert one_hot.nonzero().tolist() == [[0, 2, 1], [1, 0, 0]]
