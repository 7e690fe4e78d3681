"""Contrastive denoising in a training: any batch, any number of processes, and nothing of it without a weight."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.killed import train_until_killed
from tests.engine.same import assert_same, assert_same_training
from tests.engine.test_distributed import KINK, SETTINGS, assert_one_training, compute, difference
from tests.engine.test_step import BATCHES, PRECISIONS, take_step
from vclr.config import Config, dump_config
from vclr.data.batches import collate
from vclr.engine import train as train_module
from vclr.engine.convert import convert, to_reference_checkpoint
from vclr.engine.state import TrainState
from vclr.models.reference import reference_keys
from vclr.structures import Batch

MakeConfig = Callable[..., Config]
KINDS = ("class", "bbox", "giou", "mask", "dice")
ON = ["model.dn_number=6", *(f"model.criterion.weight_dict.loss_{kind}_dn=1" for kind in KINDS)]
TWO_SIZES = "an empty image beside another"


def batch_of(name: str) -> Batch:
    return collate(BATCHES[name])


def test_without_a_weight_a_training_is_what_it_was(make_config: MakeConfig):
    plain, listed = make_config(), make_config("model.dn_number=100")
    states = [take_step(config, batch_of(TWO_SIZES)) for config in (plain, listed)]
    assert_same(*(losses for _, losses in states), "losses")
    assert_same(*(state.student.state_dict() for state, _ in states), "student")
    assert not any("_dn" in name for name in states[0][1])


def check_step(config: Config, name: str) -> None:
    state, losses = take_step(config, batch_of(name))
    assert all(map(math.isfinite, losses.values()))
    layers = ["", *(f"_{number}" for number in range(config.model.transformer.decoder.num_layers - 1))]
    denoising = {key: value for key, value in losses.items() if "_dn" in key}
    assert denoising.keys() == {f"loss_{kind}_dn{layer}" for kind in KINDS for layer in layers}
    assert all((value == 0) is ("only empty" in name) for value in denoising.values())
    assert state.student.label_embed.weight in state.optimizer.state, "processes share its gradient in any case"
    assert all(value.isfinite().all() for value in state.student.state_dict().values())


@pytest.mark.parametrize("name", ["only empty images", "more objects than queries"])
def test_any_number_of_objects_is_denoised(name: str, make_config: MakeConfig):
    check_step(make_config(*ON), name)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("padding", ["True", "False"], ids=["padding as in the reference", "padding apart"])
@pytest.mark.parametrize("name", BATCHES)
def test_every_batch_is_denoised(name: str, padding: str, dtype: str, make_config: MakeConfig):
    check_step(make_config(*ON, f"compat.padding={padding}", *PRECISIONS[dtype]), name)


@pytest.mark.slow
@pytest.mark.parametrize("aux", ["True", "False"])
def test_recomputed_activations_change_no_loss(aux: str, make_config: MakeConfig):
    recompute = [f"model.transformer.{part}.use_checkpoint=True" for part in ("encoder", "decoder")]
    settings = (*ON, f"model.aux_loss={aux}")
    plain, again = (
        take_step(make_config(*settings, *more), batch_of("sides that nothing divides")) for more in ((), recompute)
    )
    assert plain[1] == again[1]
    assert_same(plain[0].student.state_dict(), again[0].student.state_dict(), "student")
    assert any("_dn_0" in name for name in plain[1]) is (aux == "True")


# --- one training on any number of processes -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One process, the batch of four at once; its images have different numbers of objects."""
    return compute(make_config(*SETTINGS, *ON), tmp_path_factory.mktemp("alone") / "1", 1)[0]


@pytest.mark.slow
def test_two_processes_are_one(alone: dict[str, Any], make_config: MakeConfig, tmp_path: Path):
    assert_one_training(alone, compute(make_config(*SETTINGS, *ON), tmp_path / "2", 2), tolerance=1e-5)


@pytest.mark.slow
def test_few_images_at_once_are_the_whole_batch(alone: dict[str, Any], make_config: MakeConfig, tmp_path: Path):
    (parts,) = compute(make_config(*SETTINGS, *ON, "train.micro_batch_size=1"), tmp_path / "1", 1)
    for step, of_parts, tolerance in zip(alone["steps"], parts["steps"], (1e-5, KINK), strict=True):
        assert difference(step["gradients"], of_parts["gradients"]) < tolerance
        assert of_parts["losses"] == pytest.approx(step["losses"], rel=1e-5)


@pytest.mark.slow
def test_stopped_and_resumed_is_the_same_as_straight(make_config: MakeConfig, tmp_path: Path):
    length = ("train.max_iter=6", "train.checkpointer.period=3", "train.eval_period=0")
    straight, stopped = (
        make_config(*ON, *length, f"train.output_dir={tmp_path}/{name}") for name in ("straight", "stopped")
    )
    train_module.train(straight, quiet=True)
    train_until_killed(stopped)
    train_module.train(stopped, resume=True, quiet=True)
    assert_same_training(tmp_path / "straight", tmp_path / "stopped")


# --- files of the reference ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_label_embedding_goes_to_the_reference_and_back(make_config: MakeConfig, tmp_path: Path):
    config = make_config(*ON)
    state, _ = take_step(config, batch_of(TWO_SIZES))
    theirs = to_reference_checkpoint(state)
    key = reference_keys(state.student)["label_embed.weight"]
    for part, detector in (("model", state.student), ("ema_state", state.teacher.detector)):
        assert torch.equal(theirs[part][key], detector.label_embed.weight)
    torch.save(theirs, tmp_path / "model.pth")
    (tmp_path / "settings.yaml").write_text(dump_config(config))
    convert(tmp_path / "model.pth", tmp_path / "back.pt", config_file=tmp_path / "settings.yaml")
    back = torch.load(tmp_path / "back.pt", weights_only=True)
    assert_same(back["model"], state.student.state_dict(), "model")
    moments = back["optimizer"]["state"]
    assert_same(moments, state.optimizer.state_dict()["state"], "moments")


def test_weights_without_the_embedding_load_with_one_line(
    make_config: MakeConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    plain, denoising = (TrainState(make_config(*settings), torch.device("cpu")) for settings in ((), ON))
    torch.save(plain.state_dict(), tmp_path / "plain.pt")
    before = denoising.student.label_embed.weight.clone()
    with caplog.at_level(logging.INFO, logger="vclr.train"):
        denoising.initialize(str(tmp_path / "plain.pt"))
    (record,) = caplog.records
    assert "1 missing (label_embed.weight)" in record.getMessage()
    assert torch.equal(denoising.student.label_embed.weight, before)
    assert torch.equal(denoising.teacher.detector.label_embed.weight, before)
