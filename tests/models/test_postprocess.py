"""From outputs to objects: scores, order, original pixels, and no trace of the padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from vclr.coco.annotations import encode_mask, encode_run_lengths
from vclr.models import postprocess as module
from vclr.models.postprocess import encode_masks, paint_masks, postprocess, score_queries
from vclr.ops.run_lengths import run_lengths
from vclr.structures import MaskForm, Outputs, Predictions


def make_outputs(logits: list[float], boxes: list[list[float]], masks: Tensor) -> Outputs:
    """One image whose mask logits (q, h, w) are given."""
    count = len(logits)
    return Outputs(
        pred_logits=torch.tensor(logits).view(1, count, 1),
        pred_boxes=torch.tensor([boxes]),
        queries=torch.zeros(1, count, 1),
        mask_embeds=torch.eye(count)[None],
        mask_features=[masks],
    )


def find(outputs: Outputs, original: tuple[int, int] = (64, 96), max_detections: int = 100) -> Predictions:
    return postprocess(outputs, [original], max_detections, 0.7)[0]


APART = [[0.2, 0.2, 0.2, 0.2], [0.7, 0.7, 0.2, 0.2], [0.2, 0.8, 0.1, 0.1]]


def test_objects_come_by_score_in_original_pixels():
    predictions = find(make_outputs([0.0, 2.0, 1.0], APART, torch.full((3, 8, 12), 3.0)))
    assert (np.diff(predictions.scores) < 0).all()
    expected = [[0.6 * 96, 0.6 * 64, 0.8 * 96, 0.8 * 64], [0.15 * 96, 0.75 * 64, 0.25 * 96, 0.85 * 64]]
    np.testing.assert_allclose(predictions.boxes[:2], expected, rtol=1e-5)
    assert predictions.masks.shape == (3, 64, 96)
    assert predictions.masks.dtype == bool
    assert predictions.boxes.dtype == predictions.scores.dtype == np.float32


def test_score_is_the_geometric_mean_of_class_and_mask():
    masks = torch.full((1, 4, 4), -5.0)
    masks[0, :2] = 2.0
    class_score, mask_score = torch.tensor(1.0).sigmoid(), torch.tensor(2.0).sigmoid()
    score = score_queries(torch.tensor([[1.0]]), masks)
    torch.testing.assert_close(score, (class_score * mask_score).sqrt().view(1))


def test_empty_masks_tie_at_the_bottom():
    scores = score_queries(torch.tensor([[9.0], [-9.0]]), torch.full((2, 4, 4), -1.0))
    assert scores[0] == scores[1]
    assert scores[0].item() == pytest.approx(0.000999, abs=1e-6)


def test_duplicates_go():
    boxes = [APART[0], [0.2, 0.2, 0.2, 0.21], APART[1]]
    predictions = find(make_outputs([0.0, 1.0, 0.5], boxes, torch.full((3, 8, 12), 3.0)))
    assert len(predictions) == 2


def test_no_more_than_max_detections():
    assert len(find(make_outputs([0.0, 1.0, 2.0], APART, torch.ones(3, 8, 12)), max_detections=2)) == 2


def test_boxes_are_clipped_and_empty_ones_go_with_their_masks():
    boxes = [[0.05, 0.05, 0.4, 0.4], [0.5, 0.5, 0.0, 0.3], [-0.4, 0.5, 0.1, 0.1]]
    predictions = find(make_outputs([0.0, 1.0, 2.0], boxes, torch.ones(3, 8, 12)))
    assert len(predictions.boxes) == len(predictions.scores) == len(predictions.masks) == 1
    np.testing.assert_allclose(predictions.boxes[0], [0, 0, 0.25 * 96, 0.25 * 64], rtol=1e-5)


def test_nothing_found_is_empty_arrays():
    predictions = find(make_outputs([0.0], [[0.5, 0.5, 0.0, 0.0]], torch.ones(1, 8, 12)))
    assert len(predictions) == 0
    assert predictions.boxes.shape == (0, 4)
    assert predictions.masks.shape == (0, 64, 96)


def test_masks_grow_to_the_original_where_they_are():
    masks = torch.full((1, 8, 12), -4.0)
    masks[0, 2:4, 3:6] = 4.0
    painted = paint_masks(masks, (128, 192))
    rows, columns = painted[0].any(1).nonzero(), painted[0].any(0).nonzero()
    assert (rows.min(), rows.max() + 1) == (32, 64)
    assert (columns.min(), columns.max() + 1) == (48, 96)


def test_every_image_has_its_own_mask_features_and_size():
    outputs = make_outputs([0.0, 2.0, 1.0], APART, torch.full((3, 8, 12), 3.0))
    second = make_outputs([0.0, 2.0, 1.0], APART, torch.full((3, 5, 4), 3.0))
    for name in ("pred_logits", "pred_boxes", "mask_embeds"):
        setattr(outputs, name, torch.cat([getattr(outputs, name), getattr(second, name)]))
    outputs.mask_features += second.mask_features
    both = postprocess(outputs, [(64, 96), (39, 31)], 100, 0.7)
    assert [predictions.masks.shape for predictions in both] == [(3, 64, 96), (3, 39, 31)]
    np.testing.assert_array_equal(both[1].boxes, find(second, (39, 31)).boxes)


def test_run_lengths_are_what_is_encoded():
    generator = torch.Generator().manual_seed(0)
    masks = [torch.zeros(5, 7), torch.ones(5, 7), *(torch.rand(4, 5, 7, generator=generator) > 0.6)]
    painted = torch.stack([mask > 0 for mask in masks])
    encoded = [encode_run_lengths(lengths, 5, 7) for lengths in run_lengths(painted)]
    assert encoded == [encode_mask(mask) for mask in painted.numpy()]
    assert run_lengths(painted[:0]) == []


@pytest.mark.parametrize("max_pixels", [1, 2 * 33 * 50, 1 << 25])
def test_masks_can_be_asked_for_in_other_forms(monkeypatch: pytest.MonkeyPatch, max_pixels: int):
    monkeypatch.setattr(module, "MAX_PIXELS", max_pixels)
    logits = torch.randn(5, 8, 12, generator=torch.Generator().manual_seed(1))
    assert encode_masks(logits, (33, 50)) == [encode_mask(mask) for mask in paint_masks(logits, (33, 50)).numpy()]
    outputs = make_outputs([0.0, 2.0, 1.0], APART, logits[:3])
    forms = {form: postprocess(outputs, [(33, 50)], 100, 0.7, form)[0] for form in MaskForm}
    assert forms[MaskForm.ENCODED].encoded_masks == [encode_mask(mask) for mask in forms[MaskForm.PAINTED].masks]
    assert forms[MaskForm.NONE].encoded_masks is None
    for found in forms.values():
        np.testing.assert_array_equal(found.boxes, forms[MaskForm.PAINTED].boxes)
        assert len(found.masks) == 3
