"""Contrastive denoising: losses and gradients of the reference for the same noise (tests/golden/README.md)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.parity.golden import Arrays, assert_near_peak, parity_config, reference_state, replay_points
from tests.parity.test_training import COMPAT, golden_batch
from vclr.data import noisy_objects
from vclr.data.batches import pad_masks
from vclr.losses.objective import Divisors, Objective
from vclr.models.build import build_model
from vclr.models.detector import Detector
from vclr.models.reference import reference_keys
from vclr.models.weights import load_weights
from vclr.structures import Batch

WEIGHTS = {"loss_class": 1, "loss_bbox": 5, "loss_giou": 2, "loss_mask": 1, "loss_dice": 5}
DENOISING = [
    "model.num_queries=100",
    "model.dn_number=10",
    "model.criterion.num_points=64",
    "model.criterion.weight_dict.loss_consistency=0",
]
DENOISING += [f"model.criterion.weight_dict.{name}_dn={weight}" for name, weight in WEIGHTS.items()]


def half_size(batch: Batch) -> Batch:
    """Keep every second pixel: the reference ran on less than in other files."""
    sizes = [(height // 2, width // 2) for height, width in batch.image_sizes]
    targets = [replace(target, masks=target.masks[:, ::2, ::2]) for target in batch.targets]
    return replace(batch, images=batch.images[:, :, ::2, ::2], image_sizes=sizes, targets=targets)


@pytest.fixture(scope="module")
def step() -> tuple[Arrays, Detector, dict[str, Tensor]]:
    """Return what the reference computed, our detector, and its losses."""
    golden, batch = Arrays("denoising_small.npz"), half_size(golden_batch(Arrays("ef_loss_small_dn0_copy.npz")))
    config = parity_config(True, *COMPAT, *DENOISING)
    student = build_model(config).train()
    weights = dict(reference_state(is_small=True))
    weights["transformer.tgt_embed.weight"] = weights["transformer.tgt_embed.weight"][:100]
    assert load_weights(student, weights).is_complete
    student.pads_like_reference = True
    counts = list(map(len, batch.targets))
    targets = [pad_masks(target, (batch.images.shape[2], batch.images.shape[3])) for target in batch.targets]
    with pytest.MonkeyPatch.context() as patch:
        shifts = iter(golden["shifts"].split(counts, 2))
        patch.setattr(noisy_objects, "draw_shifts", lambda *_: next(shifts))
        generators = [torch.Generator().manual_seed(number) for number in range(2)]
        noisy = noisy_objects.draw_noisy_objects(targets, max(counts), config.model, generators)
        images = student.normalize(batch.images, batch.image_sizes)
        outputs = student(images, batch.image_sizes, noisy=noisy)
        replay_points(patch, [golden[f"points{number}"] for number in range(5)], targets, num_groups=3)
        losses = Objective(config.model.criterion)(outputs, None, targets, Divisors([5.0], {}))
    return golden, student, losses


def test_losses_of_every_layer(step: tuple[Arrays, Detector, dict[str, Tensor]]):
    golden, _, losses = step
    assert set(golden.names("w/")) == losses.keys()
    assert sum("_dn" in name for name in losses) == 10
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(golden[f"w/{name}"].item(), rel=1e-5), name


@pytest.mark.slow
def test_gradients(step: tuple[Arrays, Detector, dict[str, Tensor]]):
    golden, student, losses = step
    torch.stack([loss for name, loss in losses.items() if "_dn" in name]).sum().backward()
    gradients = {name: parameter.grad for name, parameter in student.named_parameters()}
    names = {theirs: ours for ours, theirs in reference_keys(student).items()}
    for name in golden.names("gnorm/"):
        expected = golden[f"gnorm/{name}"].item()
        assert gradients[names[name]].double().norm().item() == pytest.approx(expected, rel=1e-3), name
    assert_near_peak(gradients["label_embed.weight"], golden["label_enc_grad"], 1e-4)
    for name, gradient in gradients.items():  # proposals are of the detector's own queries
        if name.startswith(("proposal_stage.", "class_embed.2.", "bbox_embed.2.", "mask_embed.2.")):
            assert gradient is None, name
