"""Steps and trainings with two losses and variants of the consistency loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.killed import train_until_killed
from tests.engine.same import assert_same_training
from tests.engine.test_distributed import PER_GROUP, SETTINGS, assert_one_training, compute, difference
from vclr.config import Config
from vclr.data.loader import TrainingLoader, read_batches
from vclr.data.samples import TrainingSamples
from vclr.engine import train as train_module
from vclr.engine.state import TrainState
from vclr.engine.step import compute_losses, training_step
from vclr.files import read_json, write_json
from vclr.losses.objective import Objective
from vclr.structures import Batch

MakeConfig = Callable[..., Config]
CRITERION = "model.criterion"
TWO = f"{CRITERION}.two_losses={{enabled: True, annotations: 1, proposals: 0.5}}"


def consistency(**settings: str) -> str:
    return f"{CRITERION}.consistency={{{', '.join(f'{name}: {value}' for name, value in settings.items())}}}"


VARIANTS = {
    "two losses": [TWO],
    "proposals alone": [f"{CRITERION}.two_losses={{enabled: True, annotations: 0}}"],
    "contrastive": [TWO, consistency(kind="contrastive", layers="all")],
    "contrastive memory": [consistency(kind="contrastive", features="memory", objects="proposals")],
    "l2": [consistency(kind="l2", layers="all", objects="annotations")],
    "l2 memory": [TWO, consistency(kind="l2", features="memory")],
}


@pytest.fixture(scope="module")
def make_scored(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> MakeConfig:
    """Make configurations of a training set of which every second object is a proposal."""
    coco = read_json(make_config().data.train.annotations)
    for annotation in coco["annotations"][::2]:
        annotation["score"] = 0.5
    path = tmp_path_factory.mktemp("scored") / "annotations.json"
    write_json(path, coco)
    return lambda *overrides: make_config(f"data.train.annotations={path}", *overrides)


def read_batch(config: Config) -> Batch:
    (batch,) = islice(read_batches(TrainingLoader(config, TrainingSamples(config))), 1)
    return batch


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name != "contrastive" else name for name in VARIANTS]
)
def test_every_variant_takes_a_step(name: str, make_scored: MakeConfig):
    """Also if the batch has no proposal, or no annotation."""
    config = make_scored(*VARIANTS[name])
    state, objective = TrainState(config, torch.device("cpu")), Objective(config.model.criterion)
    batch = read_batch(config)
    for flag in (None, False, True):
        if flag is not None:
            targets = [replace(one, is_proposal=torch.full_like(one.is_proposal, flag)) for one in batch.targets]
            batch = replace(batch, targets=targets)
        losses = training_step(state, batch, objective)
        assert all(map(math.isfinite, losses.values()))
        assert all(value.isfinite().all() for value in state.student.state_dict().values())


def test_without_momentum_the_teacher_is_the_student_without_gradient(make_config: MakeConfig):
    """After a step, it gives the queries that the student gives for the same view."""
    config = make_config("train.model_ema.decay=0")
    state, objective, batch = (
        TrainState(config, torch.device("cpu")),
        Objective(config.model.criterion),
        read_batch(config),
    )
    training_step(state, batch, objective)
    images = state.student.normalize(batch.teacher_images, batch.image_sizes)
    taught = state.teacher(images, batch.image_sizes)
    with torch.no_grad():
        own = state.student(images, batch.image_sizes, with_masks=False)
    assert not taught.queries.requires_grad
    for name in ("queries", "pred_logits", "pred_boxes"):
        assert torch.equal(getattr(taught, name), getattr(own, name))
    with_teacher = compute_losses(state, batch, objective)
    state.teacher = lambda *_: own
    assert with_teacher == compute_losses(state, batch, objective)


@pytest.fixture(scope="module", params=["contrastive", "contrastive memory"])
def settings(request: pytest.FixtureRequest) -> list[str]:
    return [*SETTINGS, *VARIANTS[request.param]]


@pytest.fixture(scope="module")
def alone(settings: list[str], make_scored: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One process, the whole batch at once."""
    return compute(make_scored(*settings), tmp_path_factory.mktemp("alone") / "1", 1)[0]


@pytest.mark.slow
def test_two_processes_are_one(settings: list[str], alone: dict[str, Any], make_scored: MakeConfig, tmp_path: Path):
    assert_one_training(alone, compute(make_scored(*settings), tmp_path / "2", 2), tolerance=1e-5)


@pytest.mark.slow
def test_few_images_at_once_are_the_whole_batch(
    settings: list[str], alone: dict[str, Any], make_scored: MakeConfig, tmp_path: Path
):
    (parts,) = compute(make_scored(*settings, "train.micro_batch_size=1"), tmp_path / "1", 1)
    for step, of_parts in zip(alone["steps"], parts["steps"], strict=True):
        assert difference(step["gradients"], of_parts["gradients"]) < 1e-5
        assert of_parts["losses"] == pytest.approx(step["losses"], rel=1e-5)


@pytest.mark.slow
def test_a_group_that_lies_across_processes_is_one(make_scored: MakeConfig, tmp_path: Path):
    """No object of another group is a negative."""
    groups = ("dataloader.train.total_batch_size=6", "dataloader.train.group_size=2", *PER_GROUP)
    config = make_scored(*SETTINGS, *groups, *VARIANTS["contrastive"])
    (one,) = compute(config, tmp_path / "1", 1)
    assert_one_training(one, compute(config, tmp_path / "2", 2), tolerance=1e-5)


@pytest.mark.slow
def test_resumed_is_the_same_as_straight(make_scored: MakeConfig, tmp_path: Path):
    """All variants together; the training stops after the checkpoint of step three."""
    variants = [TWO, consistency(kind="contrastive", layers="all"), "train.model_ema.decay=0"]
    straight, stopped = (
        make_scored(f"train.output_dir={tmp_path}/{name}", *variants) for name in ("straight", "seed0")
    )
    train_module.train(straight, quiet=True)
    train_until_killed(stopped)
    train_module.train(stopped, resume=True, quiet=True)
    assert_same_training(tmp_path / "straight", tmp_path / "seed0")
