"""The run folder: one training at a time, no leftovers, and damaged checkpoints stepped back from."""

from __future__ import annotations

import fcntl
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.engine.same import assert_same_training, checkpoint
from vclr import file_lock
from vclr.config import Config
from vclr.engine import train as train_module
from vclr.engine.train import train
from vclr.errors import UsageError, UserError
from vclr.file_lock import lock_file
from vclr.files import write_json

MakeConfig = Callable[..., Config]


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "DEFAULT_TIMEOUT", 0.2)


@pytest.fixture(scope="module")
def straight(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight") / "seed0"
    train(make_config(f"train.output_dir={folder}", "train.log_period=2"), quiet=True)
    return folder


@pytest.fixture
def unfinished(straight: Path, tmp_path: Path) -> Path:
    """The folder of a training that was killed after its last checkpoint."""
    shutil.copytree(straight, tmp_path / "seed0")
    (tmp_path / "seed0" / "DONE").unlink()
    return tmp_path / "seed0"


def test_damaged_last_checkpoint_costs_steps_and_no_exactness(
    straight: Path, unfinished: Path, make_config: MakeConfig, caplog: pytest.LogCaptureFixture
):
    """It goes on from iteration three, in the middle of an average of two."""
    last = unfinished / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[:-1000])
    with caplog.at_level(logging.INFO):
        train(make_config(f"train.output_dir={unfinished}", "train.log_period=2"), resume=True, quiet=True)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert str(last) in warning
    assert str(last.with_name("step00000003.pt")) in warning
    assert_same_training(straight, unfinished)
    names = sorted(path.name for path in last.parent.iterdir())
    assert names == ["last.pt", "step00000003.pt"]


def test_no_intact_checkpoint_is_one_line_and_nothing_is_touched(unfinished: Path, make_config: MakeConfig):
    for path in (unfinished / "checkpoints").iterdir():
        path.write_bytes(b"")
    before = {path: path.read_bytes() for path in unfinished.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=r"last\.pt: is damaged .*; no other is intact") as raised:
        train(make_config(f"train.output_dir={unfinished}"), resume=True, quiet=True)
    assert len(str(raised.value).splitlines()) == 1
    assert {path: path.read_bytes() for path in unfinished.rglob("*") if path.is_file()} == before


def test_checkpoints_from_before_there_was_a_journal_go_on(unfinished: Path, make_config: MakeConfig):
    last = unfinished / "checkpoints" / "step00000003.pt"
    content = torch.load(last, weights_only=True)
    del content["journal"]
    torch.save(content, last.with_name("last.pt"))
    train(make_config(f"train.output_dir={unfinished}"), resume=True, quiet=True)
    assert checkpoint(unfinished)["iteration"] == 6


def test_leftovers_of_a_killed_training_are_gone_after_the_next_start(unfinished: Path, make_config: MakeConfig):
    left = [unfinished / ".metrics.jsonl.77.partial", unfinished / "checkpoints" / ".last.pt.77.partial"]
    for path in left:
        path.write_bytes(b"half")
    train(make_config(f"train.output_dir={unfinished}"), resume=True, quiet=True)
    assert not list(unfinished.rglob("*.partial"))


@pytest.mark.parametrize("resume", [False, True])
def test_second_training_in_a_folder_is_one_line(unfinished: Path, make_config: MakeConfig, resume: bool):
    before = {path: path.read_bytes() for path in unfinished.rglob("*") if path.is_file()}
    config = make_config(f"train.output_dir={unfinished}")
    says = f"^train.output_dir={unfinished}: another process trains in it$"
    with lock_file(unfinished / "log.txt", "nobody else"), pytest.raises(UserError, match=says):
        train(config, resume=resume, quiet=True)
    assert {path: path.read_bytes() for path in unfinished.rglob("*") if path.is_file()} == before


def test_lock_follows_when_a_folder_is_moved_aside(
    unfinished: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
):
    step = train_module.training_step

    def step_in_a_locked_folder(*arguments: Any) -> dict[str, float]:
        with pytest.raises(UserError, match="busy"):
            lock_file(unfinished / "log.txt", "busy")
        return step(*arguments)

    monkeypatch.setattr(train_module, "training_step", step_in_a_locked_folder)
    config = make_config(f"train.output_dir={unfinished}", "optimizer.lr=2e-3", "train.max_iter=1")
    train(config, resume=True, quiet=True, unattended=True)
    aside = next(path for path in unfinished.parent.iterdir() if path.name.startswith("seed0."))
    for folder in (unfinished, aside):
        lock_file(folder / "log.txt", "still locked").close()


def test_lock_is_of_the_file_that_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Another process moves the folder aside and begins a new one between the opening of the file and its locking."""
    flock, path = fcntl.flock, tmp_path / "a" / "log.txt"
    calls = iter(range(10))

    def lock_too_late(*arguments: Any) -> None:
        if next(calls) == 0:
            (tmp_path / "a").rename(tmp_path / "b")
            path.parent.mkdir()
            path.touch()
        flock(*arguments)

    monkeypatch.setattr(file_lock.fcntl, "flock", lock_too_late)
    with lock_file(path, "busy"), pytest.raises(UserError, match="busy"):
        lock_file(path, "busy")
    lock_file(tmp_path / "b" / "log.txt", "busy").close()


def test_training_that_cannot_begin_leaves_no_folder(make_config: MakeConfig, tmp_path: Path):
    config = make_config(f"train.output_dir={tmp_path}/new/deep/run", "train.init_checkpoint=absent.pt")
    with pytest.raises(UserError, match="no such checkpoint"):
        train(config, quiet=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["config.yaml", "data.json", "metrics.jsonl", "environment.json"])
def test_files_that_no_training_wrote_are_kept(make_config: MakeConfig, tmp_path: Path, name: str):
    write_json(tmp_path / "mine" / name, {"a": 1})
    before = (tmp_path / "mine" / name).read_bytes()
    for resume in (False, True):
        with pytest.raises(UsageError, match=f"holds {name}, which no training wrote"):
            train(make_config(f"train.output_dir={tmp_path / 'mine'}"), resume=resume, quiet=True)
    assert (tmp_path / "mine" / name).read_bytes() == before
    assert [path.name for path in (tmp_path / "mine").iterdir()] == [name]


def test_run_folder_is_neither_a_file_nor_the_photos(make_config: MakeConfig, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file: is a file; name a folder"):
        train(make_config(f"train.output_dir={tmp_path / 'file'}"), quiet=True)
    images = make_config().data.train.images
    with pytest.raises(UsageError, match="holds photos or views"):
        train(make_config(f"train.output_dir={images}"), quiet=True)
