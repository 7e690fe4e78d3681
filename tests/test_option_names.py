"""Errors name options as whoever reads them gives them: on the command line, and in Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import vclr
from tests.serve.running import write_checkpoint
from vclr.cli import app
from vclr.errors import UsageError
from vclr.option_names import of_the_command_line, option


@pytest.mark.parametrize(
    ("name", "value", "typed", "called"),
    [
        ("resume", True, "--resume", "resume=True"),
        ("config_file", None, "--config-file", "config_file"),
        ("tile", 5, "--tile 5", "tile=5"),
        ("overlap", 0.5, "--overlap 0.5", "overlap=0.5"),
        ("weights", "student", "--weights student", "weights='student'"),
    ],
)
def test_option_is_named_as_it_is_given(name: str, value: object, typed: str, called: str):
    assert option(name, value) == called
    with of_the_command_line():
        assert option(name, value) == typed
    assert option(name, value) == called


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("runs") / "seed0")


@pytest.mark.parametrize(
    ("given", "typed", "called"),
    [
        ({"weights": "pupil"}, "--weights pupil: must be", "weights='pupil': must be"),
        ({"device": "warp"}, "--device warp: must be", "device='warp': must be"),
        ({"config_file": "a.yaml"}, "leave --config-file and", "leave config_file and"),
    ],
)
def test_command_and_call_each_get_their_own_spelling(
    checkpoint: Path, tmp_path: Path, given: dict[str, str], typed: str, called: str
):
    ((name, value),) = given.items()
    with pytest.raises(UsageError) as caught:
        vclr.open_detector(checkpoint, **given)
    assert called in str(caught.value)
    photo = tmp_path / "a.png"
    photo.touch()
    arguments = ["predict", "--checkpoint", checkpoint, "--output", tmp_path / "found", photo]
    arguments += [f"--{name.replace('_', '-')}", value]
    error = CliRunner().invoke(app, [*map(str, arguments)]).exception
    assert isinstance(error, UsageError)
    assert typed in str(error)


def test_tiles_that_cannot_be_are_named_as_in_the_call(checkpoint: Path):
    model, _ = vclr.open_detector(checkpoint, "cpu")
    with pytest.raises(UsageError, match="^tile=3: must be at least 32 pixels"):
        vclr.predict(model, np.zeros((64, 64, 3), np.uint8), tile=3)
