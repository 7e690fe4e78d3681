"""Proposals that join: the best first, none twice, none that is annotated; in whatever order they come."""

from __future__ import annotations

import numpy as np
import pytest

from vclr.errors import UserError
from vclr.object_proposals.choose import choose_proposals, read_score


def iou(first: np.ndarray, second: np.ndarray) -> float:
    low = np.maximum(first[:2], second[:2])
    high = np.minimum(first[:2] + first[2:], second[:2] + second[2:])
    shared = float(np.clip(high - low, 0, None).prod())
    return shared / (float(first[2:].prod() + second[2:].prod()) - shared)


def choose_slowly(boxes: np.ndarray, scores: np.ndarray, known: np.ndarray, top_k: int, max_iou: float) -> list[int]:
    """The rule as the paper says it, box by box."""
    chosen: list[int] = []
    for number in np.argsort(-scores, kind="stable").tolist():
        others = [*known, *boxes[chosen]]
        if len(chosen) < top_k and all(iou(boxes[number], other) <= max_iou for other in others):
            chosen.append(number)
    return chosen


def draw(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    numbers = np.random.default_rng(seed)
    boxes = numbers.uniform(4, 30, (40, 4))
    known = boxes[:3] + numbers.uniform(0, 4, (3, 4))
    return boxes, numbers.permutation(40) / 40, known


@pytest.mark.parametrize("seed", range(5))
def test_choice_is_the_rule_s(seed: int):
    boxes, scores, known = draw(seed)
    for top_k in (0, 1, 5, 99):
        assert choose_proposals(boxes, scores, known, top_k, 0.5) == choose_slowly(boxes, scores, known, top_k, 0.5)


def test_order_does_not_matter_even_for_equal_scores():
    boxes, scores, known = draw(0)
    scores = np.round(scores, 1)
    chosen = boxes[choose_proposals(boxes, scores, known, 10, 0.5)]
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(boxes))
        again = boxes[order][choose_proposals(boxes[order], scores[order], known, 10, 0.5)]
        assert np.array_equal(chosen, again)


def test_neither_proposals_nor_annotations_need_be_there():
    boxes, scores, known = draw(0)
    empty = np.empty((0, 4))
    assert choose_proposals(empty, np.empty(0), known, 5, 0.5) == []
    assert choose_proposals(boxes, scores, empty, 1, 0.5) == [int(scores.argmax())]


def test_a_score_is_a_number():
    assert read_score(1, "p.json") == 1.0
    for score in (None, "high", True, 10**400):
        with pytest.raises(UserError, match=r"p\.json: has no `score`"):
            read_score(score, "p.json")
