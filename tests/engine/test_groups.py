"""Groups of a batch: they draw gray by themselves, and with `compat` they are what single GPUs are in the reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats

from tests.engine.test_distributed import difference
from tests.engine.test_step import make_sample
from vclr.config import Config, CorruptConfig
from vclr.data.batches import collate
from vclr.data.corrupt import corrupt
from vclr.data.samples import Sample
from vclr.engine.state import TrainState
from vclr.engine.step import Generators, compute_losses, pad_like_reference
from vclr.losses.objective import Objective

MakeConfig = Callable[..., Config]
CPU = torch.device("cpu")
QUIET = "views.corrupt={mix: False, erase: False, grayscale: False}"
ZERO, ONE = torch.zeros(3, 1, 1), torch.ones(3, 1, 1)


def gray_images(iteration: int, group_size: int) -> list[bool]:
    """Return which of 16 images turn gray in a step."""
    colors = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1).expand(16, 3, 1, 1)
    draws = Generators(0, iteration, 16, group_size, CPU)
    config = CorruptConfig(mix=False, erase=False)
    images = corrupt(colors, [(1, 1)] * 16, config, ZERO, ONE, draws.of_gray, draws.of_images)
    return (images[:, 1, 0, 0] > 0).tolist()


def test_gray_groups_per_batch_are_distributed_as_on_the_references_gpus():
    """Each of 8 GPUs tosses its own coin in each step."""
    steps = np.array([gray_images(iteration, 2) for iteration in range(2000)]).reshape(2000, 8, 2)
    assert (steps[:, :, 0] == steps[:, :, 1]).all()
    gray = steps[:, :, 0]
    observed = np.bincount(gray.sum(1), minlength=9)
    assert stats.chisquare(observed, 2000 * stats.binom(8, 0.5).pmf(range(9))).pvalue > 1e-3
    assert all(stats.binomtest(int(of_group.sum()), 2000).pvalue > 1e-3 for of_group in gray.T)


def test_without_groups_all_images_turn_gray_or_none():
    steps = [gray_images(iteration, 0) for iteration in range(60)]
    assert {sum(step) for step in steps} == {0, 16}


# --- `compat`: one process with three groups, and three GPUs with one group each --------------------------------------

BOXES = [[10.0, 12.0, 40.0, 30.0], [2.0, 3.0, 20.0, 30.0], [22.0, 5.0, 37.0, 22.0]]


def draw_samples(counts: tuple[int, ...], sizes: list[tuple[int, int]]) -> list[Sample]:
    return [make_sample(size, BOXES[:n], seed) for seed, (n, size) in enumerate(zip(counts, sizes, strict=True))]


def compute(config: Config, samples: list[Sample]) -> tuple[float, dict[str, torch.Tensor]]:
    """Return the sum of the losses of one process, and its gradient."""
    state = TrainState(config, CPU)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for detector in (state.student, state.teacher.detector):
            for parameter in detector.parameters():  # off the initial values, where queries are alike
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.02)
    loss = torch.stack(list(compute_losses(state, collate(samples), Objective(config.model.criterion)).values())).sum()
    loss.backward()
    return loss.item(), {name: p.grad for name, p in state.student.named_parameters() if p.grad is not None}


def compare(make_config: MakeConfig, samples: list[Sample], *settings: str, group_size: int = 2) -> tuple[float, float]:
    """Compare groups of two with the mean of as many computations: the differences of the loss and of the gradient."""
    loss, gradient = compute(make_config(QUIET, *settings, f"dataloader.train.group_size={group_size}"), samples)
    alone = [compute(make_config(QUIET, *settings), samples[start : start + 2]) for start in range(0, len(samples), 2)]
    means = {name: torch.stack([own[name] for _, own in alone]).mean(0) for name in gradient}
    return abs(loss - sum(own for own, _ in alone) / len(alone)), difference(means, gradient)


# The mask branch's batch norm joins the groups unless `compat.batch_norm` is on too.
NO_MASKS = [f"model.criterion.weight_dict.loss_{name}=0" for name in ("mask", "dice")]
ONLY_CONSISTENCY = [f"model.criterion.weight_dict.loss_{name}=0" for name in ("class", "bbox", "giou", "mask", "dice")]


@pytest.mark.parametrize("compat", ["True", "False"])
def test_consistency_is_the_mean_over_gpus(compat: str, make_config: MakeConfig):
    samples = draw_samples((3, 3, 1, 0, 2, 1), [(64, 64)] * 6)
    of_loss, of_gradient = compare(make_config, samples, *ONLY_CONSISTENCY, f"compat.consistency_mean={compat}")
    if compat == "True":
        assert of_loss < 1e-5 and of_gradient < 1e-4
    else:
        assert of_loss > 1e-3 and of_gradient > 1e-2


def test_a_gpu_without_a_pair_counts_nothing(make_config: MakeConfig):
    """The reference's mean over no pair is NaN."""
    samples, settings = draw_samples((3, 3, 0, 0), [(64, 64)] * 4), (*ONLY_CONSISTENCY, "compat.consistency_mean=True")
    of_loss, of_gradient = compare(make_config, samples, *settings)
    assert of_loss < 1e-5 and of_gradient < 1e-4


@pytest.mark.parametrize("compat", ["True", "False"])
def test_batch_norm_is_that_of_each_gpu(compat: str, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch):
    """All objects are compared at the same points, which otherwise depend on an image's place."""
    monkeypatch.setattr("vclr.engine.step.mix", lambda *numbers: 0)
    samples = draw_samples((1,) * 6, [(64, 64), (64, 64), (64, 48), (48, 64), (48, 48), (64, 64)])
    settings = ["model.criterion.weight_dict.loss_consistency=0", f"compat.batch_norm={compat}"]
    of_loss, of_gradient = compare(make_config, samples, *settings)
    if compat == "True":
        assert of_loss < 1e-4 and of_gradient < 1e-4
    else:
        assert of_loss > 1e-4 and of_gradient > 1e-3


@pytest.mark.parametrize("group_size", [2, 0])
def test_padding_is_that_of_each_gpu(group_size: int, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch):
    """And not that of the largest images of the batch."""
    monkeypatch.setattr("vclr.engine.step.mix", lambda *numbers: 0)
    samples = draw_samples((1,) * 6, [(64, 64), (40, 56), (64, 48), (56, 64), (48, 96), (64, 40)])
    of_loss, of_gradient = compare(make_config, samples, *NO_MASKS, "compat.padding=True", group_size=group_size)
    if group_size:
        assert of_loss < 1e-4 and of_gradient < 1e-4
    else:
        assert of_loss > 1e-3 and of_gradient > 1e-2


def test_masks_are_compared_on_the_padding_of_their_group():
    batch = collate(draw_samples((1,) * 4, [(64, 64), (40, 80), (64, 48), (56, 64)]))
    assert [target.masks.shape for target in pad_like_reference(batch, 2)] == [(1, 64, 80)] * 2 + [(1, 64, 64)] * 2
