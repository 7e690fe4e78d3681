"""The matching: the cheapest of all, whatever the numbers of queries and objects."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch

from vclr.config import MatcherConfig
from vclr.losses.matcher import HungarianMatcher
from vclr.ops.boxes import xyxy_to_cxcywh
from vclr.structures import Outputs, Target


def draw_target(count: int, seed: int = 0) -> Target:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 0.5
    boxes = torch.cat([corner, corner + 0.05 + torch.rand(count, 2, generator=generator) * 0.4], 1)
    labels = torch.zeros(count, dtype=torch.int64)
    return Target(labels, xyxy_to_cxcywh(boxes), torch.zeros(count, 4, 4, dtype=torch.uint8), seed)


def draw_outputs(num_queries: int, num_images: int = 1, seed: int = 0) -> Outputs:
    generator = torch.Generator().manual_seed(100 + seed)
    logits = torch.randn(num_images, num_queries, 1, generator=generator)
    boxes = torch.rand(num_images, num_queries, 4, generator=generator) * 0.5 + 0.1
    return Outputs(logits, boxes, queries=torch.zeros(num_images, num_queries, 2))


@pytest.mark.parametrize(("num_queries", "num_objects"), [(5, 3), (3, 3), (2, 4), (1, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_trying_all(num_queries: int, num_objects: int, seed: int):
    matcher, outputs, target = (
        HungarianMatcher(MatcherConfig()),
        draw_outputs(num_queries, seed=seed),
        draw_target(num_objects, seed),
    )
    cost = matcher.cost(outputs.pred_logits[0], outputs.pred_boxes[0], target)
    if num_queries >= num_objects:
        tries = [
            sum(cost[q, n] for n, q in enumerate(order)) for order in permutations(range(num_queries), num_objects)
        ]
    else:
        tries = [
            sum(cost[q, n] for q, n in enumerate(order)) for order in permutations(range(num_objects), num_queries)
        ]
    ((queries, objects),) = matcher(outputs, [target])
    assert cost[queries, objects].sum().item() == pytest.approx(min(tries).item(), abs=1e-5)
    assert len(queries) == min(num_queries, num_objects)
    assert queries.tolist() == sorted(set(queries.tolist()))
    assert len(set(objects.tolist())) == len(objects)


def test_no_objects_no_pairs():
    (indices, others) = HungarianMatcher(MatcherConfig())(draw_outputs(4, 2), [draw_target(0), draw_target(2)])
    assert [len(part) for part in indices] == [0, 0]
    assert [len(part) for part in others] == [2, 2]


def test_perfect_predictions_find_their_objects():
    target = draw_target(4)
    outputs = Outputs(torch.zeros(1, 4, 1), target.boxes.flip(0)[None], queries=torch.zeros(1, 4, 2))
    ((queries, objects),) = HungarianMatcher(MatcherConfig())(outputs, [target])
    assert queries.tolist() == [0, 1, 2, 3]
    assert objects.tolist() == [3, 2, 1, 0]


@pytest.mark.parametrize("field", ["pred_logits", "pred_boxes"])
def test_a_query_that_diverged_is_matched_last(field: str):
    """The losses show it where it matters; the matching goes on, on every process of a training alike."""
    outputs = draw_outputs(4)
    getattr(outputs, field)[0, 1] = float("nan")
    ((queries, _),) = HungarianMatcher(MatcherConfig())(outputs, [draw_target(2)])
    assert 1 not in queries
    ((queries, _),) = HungarianMatcher(MatcherConfig())(outputs, [draw_target(4)])
    assert 1 in queries
