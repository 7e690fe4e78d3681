"""A detector that is opened from a checkpoint is ready for inference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from vclr.config import Config, dump_config, evaluated_weights, with_weights
from vclr.errors import UsageError, UserError
from vclr.models.build import build_model
from vclr.models.ready import fill_detector, open_detector
from vclr.models.reference import initial_unused, to_reference

MakeConfig = Callable[..., Config]


@pytest.fixture
def own(make_config: MakeConfig) -> Config:
    return make_config("model.num_queries=20", "dataloader.test.mapper.short_edge_length=64")


def write(config: Config, path: Path) -> dict[str, object]:
    """Write weights of student and teacher, and their configuration."""
    student, teacher = (build_model(replace(config, train=replace(config.train, seed=seed))) for seed in (1, 2))
    content = {"model": student.state_dict(), "teacher": teacher.state_dict(), "config": dump_config(config)}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return content


def test_weights_configuration_and_mode(own: Config, tmp_path: Path):
    content = write(own, tmp_path / "weights.pt")
    detector, config = open_detector(tmp_path / "weights.pt", "cpu")
    assert config == own
    assert not detector.training
    assert all(torch.equal(value, content["model"][key]) for key, value in detector.state_dict().items())


def test_a_run_folder_names_its_last_checkpoint(own: Config, tmp_path: Path):
    write(own, tmp_path / "run" / "checkpoints" / "last.pt")
    for run in (tmp_path / "run", str(tmp_path / "run")):
        assert open_detector(run, "cpu")[1] == own


def test_the_teacher_if_the_settings_say_so(make_config: MakeConfig, tmp_path: Path):
    config = make_config("model.num_queries=20", "train.model_ema.use_ema_weights_for_eval_only=True")
    content = write(config, tmp_path / "weights.pt")
    detector, _ = open_detector(tmp_path / "weights.pt", "cpu")
    assert all(torch.equal(value, content["teacher"][key]) for key, value in detector.state_dict().items())


@pytest.mark.parametrize("setting", [True, False])
@pytest.mark.parametrize(("weights", "key"), [("student", "model"), ("teacher", "teacher")])
def test_weights_that_are_asked_for(setting: bool, weights: str, key: str, make_config: MakeConfig, tmp_path: Path):
    config = make_config("model.num_queries=20", f"train.model_ema.use_ema_weights_for_eval_only={setting}")
    content = write(config, tmp_path / "weights.pt")
    detector, opened = open_detector(tmp_path / "weights.pt", "cpu", weights=weights)
    assert evaluated_weights(opened) == weights
    assert all(torch.equal(value, content[key][name]) for name, value in detector.state_dict().items())


@pytest.mark.parametrize(("weights", "seed"), [("student", 1), ("teacher", 2), ("", 1)])
def test_weights_of_the_references_files(weights: str, seed: int, own: Config, tmp_path: Path):
    detectors = {seed: build_model(replace(own, train=replace(own.train, seed=seed))) for seed in (1, 2)}
    unused = initial_unused(own.model, 0)
    content = {"model": to_reference(detectors[1], unused), "ema_state": to_reference(detectors[2], unused)}
    torch.save(content, tmp_path / "reference.pth")
    (tmp_path / "settings.yaml").write_text(dump_config(own))
    detector, _ = open_detector(tmp_path / "reference.pth", "cpu", tmp_path / "settings.yaml", weights)
    expected = detectors[seed].state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in detector.state_dict().items())


@pytest.mark.parametrize(
    ("held", "weights", "message"),
    [
        ({"model": True, "teacher": None}, "teacher", "the teacher; `weights='student'` takes the student's"),
        ({"model": True, "ema_state": {}}, "teacher", "the teacher; `weights='student'` takes the student's"),
        ({}, "teacher", "the teacher; `weights='student'` takes the student's"),  # weights alone
        ({"ema_state": True}, "student", "the student; `weights='teacher'` takes the teacher's"),
    ],
)
def test_weights_that_a_file_lacks_are_one_line(held: dict[str, object], weights: str, message: str, own: Config):
    state = build_model(own).state_dict()
    content = {key: state if value is True else value for key, value in held.items()} or state
    with pytest.raises(UserError, match=rf"^some\.pt: has no weights of {message}$"):
        fill_detector(with_weights(own, weights), content, "some.pt", torch.device("cpu"))


def test_a_configuration_beside_the_checkpoints_own_is_refused(own: Config, tmp_path: Path):
    write(own, tmp_path / "weights.pt")
    with pytest.raises(UsageError, match="holds its own configuration"):
        open_detector(tmp_path / "weights.pt", "cpu", tmp_path / "other.yaml")


def test_weights_that_do_not_cover_the_detector_are_refused(own: Config):
    state = build_model(own).state_dict()
    del state["decoder.norm.weight"]
    with pytest.raises(UserError, match=r"some\.pt: does not fit the model"):
        fill_detector(own, {"model": state}, "some.pt", torch.device("cpu"))


def test_without_weights_the_detector_is_untrained(own: Config):
    detector, fresh = fill_detector(own, None, "", torch.device("cpu")), build_model(own)
    assert not detector.training
    assert all(torch.equal(value, fresh.state_dict()[key]) for key, value in detector.state_dict().items())
