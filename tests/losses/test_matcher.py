"""The matching: the cheapest of all, whatever the numbers of queries and objects."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from vclr.config import MatcherConfig
from vclr.losses.matcher import HungarianMatcher, Matching
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


def match(outputs: Outputs, targets: list[Target]) -> list[tuple[list[int], list[int]]]:
    """Return the queries and objects of every image in one layer."""
    matching = HungarianMatcher(MatcherConfig())(outputs.pred_logits[None], outputs.pred_boxes[None], targets)
    return [tuple(map(list, matching.of_image(0, image))) for image in range(len(targets))]


@pytest.mark.parametrize(("num_queries", "num_objects"), [(5, 3), (3, 3), (2, 4), (1, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_trying_all(num_queries: int, num_objects: int, seed: int):
    matcher, outputs, target = (
        HungarianMatcher(MatcherConfig()),
        draw_outputs(num_queries, seed=seed),
        draw_target(num_objects, seed),
    )
    cost = matcher.cost(outputs.pred_logits, outputs.pred_boxes, target)[0]
    if num_queries >= num_objects:
        tries = [
            sum(cost[q, n] for n, q in enumerate(order)) for order in permutations(range(num_queries), num_objects)
        ]
    else:
        tries = [
            sum(cost[q, n] for q, n in enumerate(order)) for order in permutations(range(num_objects), num_queries)
        ]
    ((queries, objects),) = match(outputs, [target])
    assert cost[queries, objects].sum().item() == pytest.approx(min(tries).item(), abs=1e-5)
    assert len(queries) == min(num_queries, num_objects)
    assert queries == sorted(set(queries))
    assert len(set(objects)) == len(objects)


def test_no_objects_no_pairs():
    (indices, others) = match(draw_outputs(4, 2), [draw_target(0), draw_target(2)])
    assert [len(part) for part in indices] == [0, 0]
    assert [len(part) for part in others] == [2, 2]


def test_perfect_predictions_find_their_objects():
    target = draw_target(4)
    outputs = Outputs(torch.zeros(1, 4, 1), target.boxes.flip(0)[None], queries=torch.zeros(1, 4, 2))
    assert match(outputs, [target]) == [([0, 1, 2, 3], [3, 2, 1, 0])]


@pytest.mark.parametrize("field", ["pred_logits", "pred_boxes"])
def test_a_query_that_diverged_is_matched_last(field: str):
    """The losses show it where it matters; the matching goes on, on every process of a training alike."""
    outputs = draw_outputs(4)
    getattr(outputs, field)[0, 1] = float("nan")
    ((queries, _),) = match(outputs, [draw_target(2)])
    assert 1 not in queries
    ((queries, _),) = match(outputs, [draw_target(4)])
    assert 1 in queries


def test_layers_and_images_together_are_matched_as_they_are_alone():
    """More objects than queries in one image, none in another; numbers on the device say the same as on the host."""
    layers, targets = (
        [draw_outputs(5, 3, seed) for seed in range(2)],
        [draw_target(7), draw_target(0), draw_target(3, 1)],
    )
    stacks = (torch.stack([getattr(layer, name) for layer in layers]) for name in ("pred_logits", "pred_boxes"))
    matching = HungarianMatcher(MatcherConfig())(*stacks, targets)
    assert matching.num_pairs == [5, 0, 3]
    for number, layer in enumerate(layers):
        together = [tuple(map(list, matching.of_image(number, image))) for image in range(3)]
        assert together == match(layer, targets)
        places = [5 * image + query for image, (queries, _) in enumerate(together) for query in queries]
        assert matching.queries[number].tolist() == places
        assert matching.rows[number].tolist() == [15 * number + place for place in places]
        assert matching.objects[number].tolist() == [n for _, objects in together for n in objects]
        firsts = [0, 7, 7]
        assert matching.targets[number].tolist() == [
            firsts[image] + n for image, (_, objects) in enumerate(together) for n in objects
        ]


def test_meetings_are_objects_that_both_layers_match():
    """In objects 2 and 5 of the first image, which has more objects than queries, and in object 0 of the second."""
    queries, objects = np.array([[0, 1, 2, 1], [0, 1, 2, 0]]), np.array([[5, 2, 7, 0], [2, 5, 9, 0]])
    nowhere = torch.zeros(0)
    matching = Matching(queries, objects, [3, 1], 3, nowhere, nowhere, nowhere, nowhere)
    assert matching.meetings(0, 1).tolist() == [[1, 0, 3 + 1], [0, 1, 3 + 0]]
