"""A training whose teacher sees views: they reach it in the step, and stops and processes change nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.engine.same import assert_same_training, records
from tests.engine.test_distributed import SETTINGS, assert_one_training, compute
from vclr.config import Config
from vclr.data.batches import collate
from vclr.data.sampler import EpochSampler
from vclr.data.samples import TrainingSamples
from vclr.engine.state import TrainState
from vclr.engine.step import compute_losses
from vclr.engine.train import train
from vclr.losses.objective import Objective

MakeConfig = Callable[..., Config]
SWAPPED = ("views.weights={natural: 1}", "views.teacher_weights={depth: 1, style: 1}")


def test_the_step_gives_the_teacher_its_view(make_config: MakeConfig):
    """And only the student has a gradient."""
    config = make_config(*SWAPPED)
    samples, state = TrainingSamples(config), TrainState(config, torch.device("cpu"))
    batch = collate([samples[0, index] for index in range(2)])
    seen: list[torch.Tensor] = []
    assert state.teacher is not None
    hook = state.teacher.detector.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    losses = compute_losses(state, batch, Objective(config.model.criterion))
    hook.remove()
    assert len(seen) == 1 and torch.equal(seen[0], state.student.normalize(batch.teacher_images, batch.image_sizes))
    losses["loss_consistency"].backward()
    assert any(parameter.grad is not None for parameter in state.student.parameters())
    assert all(parameter.grad is None for parameter in state.teacher.detector.parameters())


@pytest.mark.slow
def test_draws_for_both_are_counted_and_resume_is_exact(world: Path, make_config: MakeConfig, tmp_path: Path):
    shutil.copytree(world / "views/toy/depth", tmp_path / "depth")
    for path in sorted((tmp_path / "depth").glob("*.png"))[::2]:
        path.unlink()

    def configure(name: str, *overrides: str) -> Config:
        own = f"data.train.views.depth={tmp_path}/depth", "views.missing=photo", "views.teacher_weights={depth: 1}"
        return make_config(f"train.output_dir={tmp_path}/{name}", "train.log_period=3", *own, *overrides)

    config = configure("straight")
    train(config, quiet=True)
    samples = TrainingSamples(config)
    batches = iter(EpochSampler(len(samples), 2, config.train.seed, kinds=samples.images.is_wide()))
    drawn = [samples.draw(*key) for _ in range(6) for key in next(batches)]
    missing = [name for one in drawn for name in (one.missing_view, one.teacher_missing_view)].count("depth")
    assert missing > sum(one.missing_view == "depth" for one in drawn) > 0
    assert records(tmp_path / "straight")[-1]["views/depth_missing_draws"] == missing

    train(configure("stopped", "train.max_iter=3"), quiet=True)
    train(configure("stopped"), resume=True, quiet=True)
    assert_same_training(tmp_path / "straight", tmp_path / "stopped")


@pytest.mark.slow
def test_two_processes_are_one(make_config: MakeConfig, tmp_path: Path):
    (alone,) = compute(make_config(*SETTINGS, *SWAPPED), tmp_path / "1", 1)
    assert_one_training(alone, compute(make_config(*SETTINGS, *SWAPPED), tmp_path / "2", 2), tolerance=1e-5)
