"""The parity check: it sees what is wrong, and forgives nothing but rounding."""

from __future__ import annotations

import numpy as np
import torch

from tests.models.test_detector import demo_config, draw_images, shake
from vclr.export.graph import detect
from vclr.export.parity import BatchParity, choose_sizes, match_detections
from vclr.models.build import build_model
from vclr.structures import Predictions


def make_predictions(scores: list[float], shift: float = 0.0) -> Predictions:
    boxes = np.array([[10.0 * number, 5, 10.0 * number + 8, 20] for number in range(len(scores))], np.float32)
    masks = np.zeros((len(scores), 40, 80), bool)
    for number in range(len(scores)):
        masks[number, 5:20, 10 * number : 10 * number + 8] = True
    return Predictions(boxes + shift, np.array(scores, np.float32), masks)


def test_equal_detections_match_in_any_order():
    ours = make_predictions([0.9, 0.8, 0.7])
    theirs = Predictions(ours.boxes[::-1] + 1e-5, ours.scores[::-1], ours.masks[::-1])
    assert match_detections(ours, theirs, (40, 80)) == (0, 1.0)


def test_a_missing_a_moved_and_a_misscored_detection_are_seen():
    ours = make_predictions([0.9, 0.8, 0.7])
    missing = Predictions(ours.boxes[1:], ours.scores[1:], ours.masks[1:])
    assert match_detections(ours, missing, (40, 80))[0] == 1
    assert match_detections(ours, make_predictions([0.9, 0.8, 0.7], shift=1.0), (40, 80))[0] >= 4
    assert match_detections(ours, make_predictions([0.9, 0.85, 0.7]), (40, 80))[0] == 2


def test_a_changed_mask_is_seen():
    ours, theirs = make_predictions([0.9, 0.8]), make_predictions([0.9, 0.8])
    theirs.masks[1, 5:20, 10:12] = False
    assert match_detections(ours, theirs, (40, 80)) == (0, 0.75)
    # Only pixels that are undecided do not count.
    undecided = np.zeros((40, 80), bool)
    undecided[5:20, 10:11] = True
    assert match_detections(ours, theirs, (40, 80), lambda number: undecided) == (0, 6 / 7)


def test_only_a_tie_at_the_cut_may_differ():
    ours, theirs = make_predictions([0.9, 0.5]), make_predictions([0.9, 0.5])
    theirs.boxes[1] += 20
    assert match_detections(ours, theirs, (40, 80))[0] == 0
    theirs.boxes[0] += 20
    assert match_detections(ours, theirs, (40, 80))[0] == 2


def test_numbers_that_are_not_finite_do_not_hold():
    batch = BatchParity(1, (64, 64), {"scores": float("inf")}, 0, 0.0, 3, 0, 1.0)
    assert not batch.holds
    assert "scores" in batch.describe()


def test_sizes_are_three_of_different_proportions():
    sizes = choose_sizes(800, 65)
    assert len({height / width for height, width in sizes}) == 3
    assert sizes[-1] == (480, 640)
    assert all(min(size) >= 65 for size in choose_sizes(64, 65))


@torch.no_grad()
def test_queries_start_from_imposed_cells():
    model = shake(build_model(demo_config())).eval()
    images, _ = draw_images(2, 64, 96)
    outputs, cells = detect(model, images)
    again, same = detect(model, images, cells)
    assert torch.equal(same, cells)
    assert torch.equal(again.pred_boxes, outputs.pred_boxes)
    swapped = cells.clone()
    swapped[:, :2] = cells[:, :2].flip(1)
    other, imposed = detect(model, images, swapped)
    assert torch.equal(imposed, swapped)
    assert not torch.equal(other.pred_boxes, outputs.pred_boxes)
