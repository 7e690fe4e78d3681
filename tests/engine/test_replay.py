"""A step that is not finite: it stops the training, harms nothing, and can be taken again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from tests.engine.same import assert_same, checkpoint
from vclr.config import Config
from vclr.data.batches import collate
from vclr.data.samples import TrainingSamples
from vclr.engine.replay import join_batches, replay
from vclr.engine.state import TrainState
from vclr.engine.train import train
from vclr.errors import UserError

MakeConfig = Callable[..., Config]


def diverge(config: Config) -> Path:
    """Train with a learning rate that no weights survive; return the file that it leaves."""
    with pytest.raises(FloatingPointError, match="not finite.*vclr train --replay"):
        train(config, quiet=True)
    (path,) = Path(config.train.output_dir).glob("nonfinite-*.pt")
    return path


@pytest.fixture(scope="module")
def diverged(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("diverged")
    overrides = [
        "optimizer.lr=1e18",
        "train.max_iter=50",
        "train.checkpointer.period=1",
        "train.clip_grad.enabled=False",
    ]
    return diverge(make_config(f"train.output_dir={folder}/seed0", *overrides))


def test_the_state_is_that_before_the_step(diverged: Path):
    content = torch.load(diverged, weights_only=True)
    last = checkpoint(diverged.parent)
    assert diverged.name == f"nonfinite-{last['iteration']}.pt"
    for part in ("model", "teacher", "optimizer", "scheduler", "iteration", "rng"):
        assert_same(content["state"][part], last[part], part)
    assert "not finite" in (diverged.parent / "log.txt").read_text()
    assert not (diverged.parent / "DONE").exists()


def test_the_step_goes_wrong_again(diverged: Path, capsys: pytest.CaptureFixture[str]):
    error = torch.load(diverged, weights_only=True)["error"]
    with pytest.raises(FloatingPointError) as caught:
        replay(diverged, "cpu")
    assert str(caught.value) == error
    said = capsys.readouterr().out
    assert "nan" in said
    assert "first output that is not finite: " in said


def test_a_step_that_is_fine_says_so(diverged: Path, make_config: MakeConfig, tmp_path: Path, capsys):
    content = torch.load(diverged, weights_only=True)
    state = TrainState(make_config(), torch.device("cpu"))
    torch.save({**content, "state": state.state_dict()}, tmp_path / "fine.pt")
    replay(tmp_path / "fine.pt", "cpu")
    assert "finite this time" in capsys.readouterr().out


def test_parts_of_the_batch_are_joined_with_all_that_they_hold(make_config: MakeConfig):
    samples = TrainingSamples(make_config("views.teacher_weights={depth: 1, style: 1}"))
    drawn = [samples[0, index] for index in range(4)]
    whole, joined = collate(drawn), join_batches([collate(drawn[:2]), collate(drawn[2:])])
    assert_same(asdict(joined), asdict(whole), "batch")


def test_a_file_of_an_older_version_is_read(diverged: Path, tmp_path: Path):
    content = torch.load(diverged, weights_only=True)
    for part in content["batches"]:
        part["natural"] = part.pop("teacher_images")
        del part["teacher_views"], part["teacher_missing_views"]
        for target in part["targets"]:
            del target["is_proposal"]
    torch.save(content, tmp_path / "old.pt")
    with pytest.raises(FloatingPointError) as caught:
        replay(tmp_path / "old.pt", "cpu")
    assert str(caught.value) == content["error"]


def test_other_files_are_refused(diverged: Path):
    with pytest.raises(UserError, match="holds no step to take again"):
        replay(diverged.parent / "checkpoints" / "last.pt", "cpu")


def test_the_command(diverged: Path):
    command = [sys.executable, "-m", "vclr.cli", "train", "--replay", str(diverged), "train.device=cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("vclr: iteration ")
    assert "loss_class" in done.stdout
