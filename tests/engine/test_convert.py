"""Conversion: a training goes to the reference and comes back as if it had never left; backbones come alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vclr.config import Config, config_from_text, dump_config
from vclr.engine.convert import convert
from vclr.engine.train import train
from vclr.errors import UsageError, UserError
from vclr.models.build import build_model

MakeConfig = Callable[..., Config]


def load(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []


@pytest.fixture(scope="module")
def half_done(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a training that stopped after three of six steps."""
    folder = tmp_path_factory.mktemp("half") / "seed0"
    train(make_config(f"train.output_dir={folder}", "train.max_iter=3"), quiet=True)
    return folder / "checkpoints" / "last.pt"


@pytest.fixture(scope="module")
def reference(half_done: Path) -> Path:
    path = half_done.with_name("model_0000002.pth")
    convert(half_done, path, to="reference")
    return path


@pytest.fixture(scope="module")
def settings(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The YAML of the training: a file of the reference holds no configuration."""
    path = tmp_path_factory.mktemp("settings") / "demo.yaml"
    path.write_text(dump_config(make_config()))
    return path


def test_reference_has_its_own_structure(reference: Path):
    content = load(reference)
    assert set(content) == {"model", "ema_state", "trainer", "iteration"}
    assert content["iteration"] == content["trainer"]["iteration"] == 2, "the last that is done, counted from 0"
    assert content["trainer"]["hooks"]["LRScheduler"]["last_epoch"] == 3
    optimizer = content["trainer"]["optimizer"]
    indices = [index for group in optimizer["param_groups"] for index in group["params"]]
    assert indices == list(range(len(indices))) == list(optimizer["state"])
    assert "label_enc.weight" in content["model"].keys() & content["ema_state"].keys()
    assert set(content["model"]) - set(content["ema_state"]) == {
        key for key in content["model"] if key.startswith(("class_embed.", "bbox_embed.", "mask_embed."))
    }


def test_there_and_back_is_bit_identical(half_done: Path, reference: Path, tmp_path: Path, settings: Path):
    report = convert(reference, tmp_path / "back.pt", config_file=settings)
    assert report.is_complete
    first, second = load(half_done), load(tmp_path / "back.pt")
    for part in ("model", "teacher"):
        assert_equal(first[part], second[part])
    assert first["iteration"] == second["iteration"] == 3
    for index, moments in first["optimizer"]["state"].items():
        assert_equal(moments, second["optimizer"]["state"][index])
    assert first["optimizer"]["param_groups"] == second["optimizer"]["param_groups"]
    convert(tmp_path / "back.pt", tmp_path / "again.pth", to="reference")
    for part in ("model", "ema_state"):
        assert_equal(load(reference)[part], load(tmp_path / "again.pth")[part])


@pytest.mark.slow
def test_training_goes_on_as_if_it_had_never_left(
    reference: Path, tmp_path: Path, settings: Path, make_config: MakeConfig
):
    straight, returned = (make_config(f"train.output_dir={tmp_path}/{name}/seed0") for name in ("straight", "returned"))
    train(straight, quiet=True)
    last = Path(returned.train.output_dir) / "checkpoints" / "last.pt"
    convert(reference, last, config_file=settings)
    train(returned, resume=True, quiet=True)
    first, second = load(Path(straight.train.output_dir) / "checkpoints" / "last.pt"), load(last)
    assert second["iteration"] == 6
    for part in ("model", "teacher"):
        assert_equal(first[part], second[part])
    convert(last, tmp_path / "end.pth", to="reference")
    ours, theirs = load(tmp_path / "end.pth")["model"], load(reference)["model"]
    assert torch.equal(ours["label_enc.weight"], theirs["label_enc.weight"]), "what ours has no use for travels along"


def test_resuming_from_a_file_of_the_reference_names_the_command(
    reference: Path, tmp_path: Path, make_config: MakeConfig
):
    config = make_config(f"train.output_dir={tmp_path}/seed0")
    last = Path(config.train.output_dir) / "checkpoints" / "last.pt"
    last.parent.mkdir(parents=True)
    shutil.copyfile(reference, last)
    with pytest.raises(UserError, match="is not a vclr checkpoint; convert it with `vclr convert`"):
        train(config, resume=True, quiet=True)
    assert last.exists()


def test_weights_alone_begin_a_training(reference: Path, tmp_path: Path, settings: Path):
    content = load(reference)
    torch.save({"model": content["model"]}, tmp_path / "weights.pth")
    convert(tmp_path / "weights.pth", tmp_path / "ours.pt", config_file=settings)
    ours = load(tmp_path / "ours.pt")
    assert ours["iteration"] == 0
    assert ours["optimizer"]["state"] == {}
    assert_equal(ours["model"], ours["teacher"])
    build_model(config_from_text(ours["config"], "ours")).load_state_dict(ours["model"])


def test_other_settings_than_it_was_trained_with_are_named(reference: Path, tmp_path: Path, settings: Path):
    with pytest.raises(UserError, match=r"was trained with optimizer\.lr=0\.001, the settings say 0\.5"):
        convert(reference, tmp_path / "a.pt", config_file=settings, overrides=["optimizer.lr=0.5"])
    with pytest.raises(
        UserError, match=r"rate at iteration 3 is 0\.001, the settings say 0\.0001; set train\.max_iter"
    ):
        convert(reference, tmp_path / "a.pt", config_file=settings, overrides=["optimizer.milestones=[2]"])
    with pytest.raises(UserError, match="does not fit the model"):
        convert(reference, tmp_path / "a.pt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("trainer", [{}, {"iteration": 3}, {"iteration": 2, "optimizer": []}, None, 7], ids=str)
def test_a_trainer_that_is_none_is_one_line(reference: Path, tmp_path: Path, settings: Path, trainer: object):
    torch.save({**load(reference), "trainer": trainer}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="its trainer is not one of the reference's"):
        convert(tmp_path / "a.pth", tmp_path / "a.pt", config_file=settings)
    assert not (tmp_path / "a.pt").exists()


def test_a_file_with_its_own_configuration_takes_no_other(half_done: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="holds its own configuration"):
        convert(half_done, tmp_path / "a.pth", "reference", overrides=["model.num_queries=7"])
    with pytest.raises(UsageError, match="nearest: reference"):
        convert(half_done, tmp_path / "a.pth", "referense")


@pytest.mark.parametrize("to", ["vclr", "reference"])
def test_backbones_come_alone(reference: Path, tmp_path: Path, settings: Path, to: str):
    state = load(reference)["model"]
    backbone = {key.removeprefix("backbone."): value for key, value in state.items() if key.startswith("backbone.")}
    torch.save(backbone, tmp_path / "backbone.pth")
    report = convert(tmp_path / "backbone.pth", tmp_path / "out.pt", to, config_file=settings)
    assert report.layout == "detectron2"
    converted = load(tmp_path / "out.pt")
    assert converted.keys() == {"model"}
    if to == "reference":
        assert_equal(converted["model"], {f"backbone.{key}": value for key, value in backbone.items()})
    else:
        assert len(converted["model"]) == len(backbone)
        assert all(key.startswith("backbone.") for key in converted["model"])
    del backbone["res3.0.conv1.weight"]
    torch.save(backbone, tmp_path / "part.pth")
    lacking = r"lacks 1 weights of the backbone, for example backbone\.res3\.0\.convs\.0\.conv\.weight"
    with pytest.raises(UserError, match=lacking):
        convert(tmp_path / "part.pth", tmp_path / "a.pt", to, config_file=settings)
