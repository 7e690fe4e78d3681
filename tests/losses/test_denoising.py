"""Denoising losses: the plain sum over groups, and gradients where they belong."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from tests.losses.test_criterion import make_target
from vclr.config import CriterionConfig
from vclr.config.model import WeightDict
from vclr.losses import criterion as criterion_module
from vclr.losses.criterion import Criterion
from vclr.losses.denoising import compare_denoised
from vclr.losses.functional import dice_loss, giou_loss, mask_loss
from vclr.ops.points import sample_at_points
from vclr.structures import Outputs

COUNTS, PLACES, GROUPS = (2, 0, 3), 3, 2
KINDS = ("loss_class", "loss_bbox", "loss_giou", "loss_mask", "loss_dice")
WEIGHTS = {f"{kind}_dn": number + 1.0 for number, kind in enumerate(KINDS)}
CRITERION = Criterion(CriterionConfig(num_points=16, weight_dict=replace(WeightDict(), **WEIGHTS)))
TARGETS = [make_target(count) for count in COUNTS]


def draw(with_masks: bool = True, num_places: int = PLACES) -> tuple[Outputs, list[torch.Tensor]]:
    """Denoised outputs of two layers as leaves that take gradients, and mask features."""
    generator = torch.Generator().manual_seed(0)
    shape = (len(COUNTS), GROUPS, 2 * num_places)

    def layer() -> Outputs:
        logits = torch.randn(*shape, 1, generator=generator).requires_grad_()
        boxes = (torch.rand(*shape, 4, generator=generator) * 0.4 + 0.2).requires_grad_()
        embeds = torch.randn(*shape, 5, generator=generator).requires_grad_() if with_masks else None
        return Outputs(logits, boxes, torch.zeros(*shape, 3), embeds)

    features = [torch.randn(5, 4, 6, generator=generator) for _ in COUNTS]
    return replace(layer(), aux_outputs=(layer(),)), features


def compute(denoised: Outputs, features: list[torch.Tensor], targets=TARGETS) -> dict[str, torch.Tensor]:
    generators = [torch.Generator().manual_seed(number) for number in range(len(targets))]
    return compare_denoised(CRITERION, denoised, features, targets, 2.5, generators)


def plain(layer: Outputs, features: list[torch.Tensor], points: torch.Tensor) -> dict[str, float]:
    """State the losses of a layer group by group."""
    sums = dict.fromkeys(KINDS, 0.0)
    for image, target in enumerate(TARGETS):
        for group in range(GROUPS):
            logits, n = layer.pred_logits[image, group, :, 0], len(target)
            labels = torch.zeros(2 * PLACES)
            labels[:n] = 1
            wrong = (logits.sigmoid() - labels).abs()
            balance = 0.25 * labels + 0.75 * (1 - labels)
            entropy = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
            sums["loss_class"] += (balance * wrong**2 * entropy).sum().item()
            boxes = layer.pred_boxes[image, group, :n]
            sums["loss_bbox"] += (boxes - target.boxes).abs().sum().item()
            sums["loss_giou"] += giou_loss(boxes, target.boxes, 1.0).item()
            masks = torch.einsum("ne,ehw->nhw", layer.mask_embeds[image, group, :n], features[image])
            at = [sample_at_points(maps, points.expand(n, -1, -1)) for maps in (masks, target.masks.float())]
            sums["loss_mask"] += mask_loss(*at, 1.0).item()
            sums["loss_dice"] += dice_loss(*at, 1.0).item()
    return {f"{kind}_dn": value * WEIGHTS[f"{kind}_dn"] / (2.5 * GROUPS) for kind, value in sums.items()}


def test_losses_are_the_plain_sum_over_groups(monkeypatch: pytest.MonkeyPatch):
    denoised, features = draw()
    points = torch.rand(1, 16, 2, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(criterion_module, "draw_uncertain_points", lambda maps, *_: points.expand(len(maps), -1, -1))
    losses = compute(denoised, features)
    for suffix, layer in (("", denoised), ("_0", denoised.aux_outputs[0])):
        for name, value in plain(layer, features, points).items():
            assert losses.pop(name + suffix).item() == pytest.approx(value, rel=1e-5), name
    assert not losses


def test_gradients_reach_classes_everywhere_and_boxes_and_masks_of_the_first_half():
    denoised, features = draw()
    torch.stack(list(compute(denoised, features).values())).sum().backward()
    for layer in (denoised, *denoised.aux_outputs):
        assert (layer.pred_logits.grad != 0).all(), "empty places say that there is no object, as in the reference"
        for part in (layer.pred_boxes, layer.mask_embeds):
            reached = part.grad.abs().sum(-1) > 0
            for image, count in enumerate(COUNTS):
                assert reached[image, :, :count].all() and not reached[image, :, count:].any()


def test_without_mask_vectors_there_is_no_loss_of_masks():
    assert set(compute(*draw(with_masks=False))) == {
        f"{kind}_dn{suffix}" for kind in KINDS[:3] for suffix in ("", "_0")
    }


def test_without_objects_all_losses_are_zero_and_have_a_gradient():
    denoised, features = draw(num_places=0)
    losses = compute(denoised, features, [make_target(0)] * len(COUNTS))
    assert len(losses) == 10 and all(value == 0 for value in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    assert denoised.pred_boxes.grad is not None
