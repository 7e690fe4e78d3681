"""Denoising queries: the detector's own queries do not see them, nor does one group see another."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.models.test_detector import assert_same, demo_config, draw_images, shake
from vclr.models.build import build_model
from vclr.models.denoising import seen_queries
from vclr.models.detector import Detector
from vclr.structures import NoisyObjects, Outputs

WEIGHTS = [f"model.criterion.weight_dict.loss_{name}_dn=1" for name in ("class", "mask")]
CONFIG = demo_config("model.dn_number=9", *WEIGHTS)


def make_noisy(b: int = 2, g: int = 2, n: int = 3) -> NoisyObjects:
    boxes = torch.rand(b, g, 2, n, 4, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.1
    labels = torch.zeros(b, g, 2, n, dtype=torch.int64)
    labels[-1, ..., -1], boxes[-1, ..., -1, :] = -1, 0.5  # the last image has an object less
    return NoisyObjects(labels, boxes)


@pytest.fixture(scope="module")
def model() -> Detector:
    return shake(build_model(CONFIG)).train()


@pytest.fixture(scope="module")
def outputs(model: Detector) -> Outputs:
    return model(*draw_images(2, 64, 64), noisy=make_noisy())


def test_own_queries_give_what_they_give_without(model: Detector, outputs: Outputs):
    assert_same(outputs, model(*draw_images(2, 64, 64)), tolerance=1e-5)
    own = [outputs.pred_logits, outputs.pred_boxes, outputs.mask_embeds, outputs.enc_outputs.pred_logits]
    for layer in outputs.aux_outputs:
        own += [layer.pred_logits, layer.pred_boxes]
    reaches = torch.autograd.grad(
        sum(part.sum() for part in own), model.label_embed.weight, retain_graph=True, allow_unused=True
    )
    assert reaches[0] is None or not reaches[0].any()


def test_every_layer_denoises(outputs: Outputs):
    denoised = outputs.denoising
    assert len(denoised.aux_outputs) == len(outputs.aux_outputs)
    for layer in (denoised, *denoised.aux_outputs):
        assert [part.shape[:3] for part in (layer.pred_logits, layer.pred_boxes, layer.mask_embeds)] == [(2, 2, 6)] * 3
    assert denoised.mask_features is None


def test_a_group_does_not_see_another_and_an_image_not_another(model: Detector, outputs: Outputs):
    noisy = make_noisy()
    boxes = noisy.boxes.clone()
    boxes[0, 0] = boxes[0, 0].flip(-2)
    moved = model(*draw_images(2, 64, 64), noisy=replace(noisy, boxes=boxes)).denoising.pred_boxes
    before = outputs.denoising.pred_boxes
    torch.testing.assert_close(moved[0, 1], before[0, 1], rtol=0, atol=1e-5)
    torch.testing.assert_close(moved[1], before[1], rtol=0, atol=1e-5)
    assert (moved[0, 0] - before[0, 0]).abs().max() > 1e-2


def test_who_sees_whom():
    seen = seen_queries(2, make_noisy(b=1, g=2, n=1)).int().tolist()
    assert seen == [[1, 1, 1, 1, 0, 0]] * 2 + [[1, 1, 0, 0, 1, 1]] * 2
    assert seen_queries(2, NoisyObjects(torch.zeros(1, 3, 2, 0), torch.zeros(1, 3, 2, 0, 4))) is None


def test_without_a_weight_there_is_no_parameter_and_the_others_start_the_same(model: Detector):
    without, plain = (build_model(demo_config(*settings)) for settings in (["model.dn_number=9"], []))
    states = [one.state_dict() for one in (build_model(CONFIG), without, plain)]
    assert states[1].keys() == states[2].keys() == states[0].keys() - {"label_embed.weight"}
    assert all(
        torch.equal(states[0][key], value) and torch.equal(states[1][key], value) for key, value in states[2].items()
    )
    assert without.label_embed is None


@pytest.mark.parametrize("pads_like_reference", [False, True])
def test_images_of_different_sizes_are_denoised_as_alone(model: Detector, pads_like_reference: bool):
    (first, _), (second, _) = draw_images(1, 64, 64), draw_images(1, 40, 48, seed=1)
    images = torch.zeros(2, 3, 64, 64)
    images[0], images[1, :, :40, :48] = first[0], second[0]
    noisy = make_noisy()
    model.pads_like_reference, model.padding_group = pads_like_reference, 1
    try:
        together = model(images, [(64, 64), (40, 48)], noisy=noisy).denoising
        for number, (image, size) in enumerate(((first, (64, 64)), (second, (40, 48)))):
            own = NoisyObjects(noisy.labels[number : number + 1], noisy.boxes[number : number + 1])
            alone = model(image, [size], noisy=own).denoising
            for name in ("pred_logits", "pred_boxes", "mask_embeds"):
                part = getattr(together, name)[number]
                torch.testing.assert_close(getattr(alone, name)[0], part, rtol=1e-4, atol=1e-4)
    finally:
        model.pads_like_reference, model.padding_group = False, 0


def test_evaluation_needs_none(model: Detector):
    images = draw_images(1, 64, 64)
    plain = build_model(demo_config())
    plain.load_state_dict({key: value for key, value in model.state_dict().items() if key != "label_embed.weight"})
    with torch.no_grad():
        found, expected = (one.eval()(*images) for one in (model, plain))
    model.train()
    assert torch.equal(found.pred_boxes, expected.pred_boxes)
    assert found.denoising is None
