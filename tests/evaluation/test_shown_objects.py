"""Of predictions that show the same object, the best is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vclr.coco.annotations import encode_mask
from vclr.evaluation.shown_objects import choose_shown
from vclr.structures import Predictions


def found(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (100, 120)) -> Predictions:
    """Return rectangles as predictions, each with a lower score than the one before."""
    masks = np.zeros((len(boxes), *size), bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    scores = 0.9 - 0.1 * np.arange(len(boxes), dtype=np.float32)
    return Predictions(np.array(boxes, np.float32).reshape(-1, 4), scores, masks)


def test_copies_parts_and_groups_are_left_out():
    whole, copy, part, neighbor = (10, 10, 40, 40), (12, 10, 42, 41), (15, 15, 25, 25), (60, 10, 80, 40)
    group, touching = (5, 5, 90, 50), (36, 10, 58, 40)
    assert choose_shown(found(whole, copy, part, neighbor, group, touching), 0.0, 12) == [0, 3, 5]


def test_best_come_first_down_to_a_score_and_up_to_a_number():
    boxes = [(10 * place, 0, 10 * place + 8, 8) for place in range(8)]
    assert choose_shown(found(*boxes), 0.0, 12) == list(range(8))
    assert choose_shown(found(*boxes), 0.0, 3) == [0, 1, 2]
    assert choose_shown(found(*boxes), 0.65, 12) == [0, 1, 2]
    assert choose_shown(found(*boxes), float("nan"), 12) == []
    assert choose_shown(found(*boxes), 0.0, 0) == []


def test_empty_masks_and_no_predictions():
    assert choose_shown(found((0, 0, 0, 0), (0, 0, 5, 5)), 0.0, 12) == [1]
    assert choose_shown(found(), 0.0, 12) == []


def test_hundreds_of_encoded_objects():
    boxes = [(2 * column, 2 * row, 2 * column + 2, 2 * row + 2) for row in range(15) for column in range(20)]
    many = found(*boxes)
    encoded = replace(many, masks=np.zeros((300, 0, 0), bool), encoded_masks=[encode_mask(one) for one in many.masks])
    assert choose_shown(encoded, float("-inf"), 400) == list(range(300))


def test_thin_objects_of_a_large_photo_are_compared_too():
    boxes = [(0, row, 3000, row + 2) for row in (10, 500, 900)]
    assert choose_shown(found(*boxes, size=(1000, 3000)), 0.0, 12) == [0, 1, 2]
