"""Signals: a training saves where it is, says so with its exit code, and goes on as if it had not stopped."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.engine.same import assert_same_training, checkpoint, records
from vclr.config import Config
from vclr.engine import between_steps
from vclr.engine import train as train_module
from vclr.engine.signals import EXIT_CODES, StoppedError, StopSignals
from vclr.engine.train import train
from vclr.evaluation import inference

MakeConfig = Callable[..., Config]
SAVING = [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT]
SETTINGS = ("train.log_period=4", "train.eval_period=2")


@pytest.fixture(scope="module")
def straight(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of six steps without a stop, whose averages span checkpoints and evaluations."""
    folder = tmp_path_factory.mktemp("straight") / "seed0"
    train(make_config(f"train.output_dir={folder}", *SETTINGS), quiet=True)
    return folder


def interrupt_calls(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, at: int, *numbers: int) -> None:
    """Send this process signals in the call number `at` of a function."""
    calls, function = iter(range(1000)), getattr(module, name)

    def interrupted(*arguments: Any) -> Any:
        if next(calls) == at:
            for number in numbers:
                os.kill(os.getpid(), number)
        return function(*arguments)

    monkeypatch.setattr(module, name, interrupted)


@pytest.mark.parametrize("number", SAVING, ids=lambda number: number.name)
def test_signal_saves_after_the_step_and_resume_is_exact(
    straight: Path, make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
):
    """It comes in the fifth step: between two checkpoints, within an average of four steps."""
    config = make_config(f"train.output_dir={tmp_path}/seed0", *SETTINGS)
    before = signal.getsignal(number)
    interrupt_calls(monkeypatch, train_module, "training_step", 4, number)
    says = f"{number.name}: stopped and saved at iteration 5; resume=True continues from there"
    with pytest.raises(StoppedError, match=f"^{says}$") as raised:
        train(config, quiet=True)
    assert raised.value.exit_code == (130 if number == signal.SIGINT else 75)
    assert signal.getsignal(number) is before
    folder = tmp_path / "seed0"
    assert checkpoint(folder)["iteration"] == 5
    assert checkpoint(folder)["journal"]["count"] == 1
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["last.pt", "step00000003.pt"]
    assert f"INFO training stopped: {says}" in (folder / "log.txt").read_text().splitlines()[-1]
    monkeypatch.undo()
    train(config, resume=True, quiet=True)
    assert_same_training(straight, folder)


@pytest.mark.parametrize("compiles", [True, False])
def test_signal_that_ends_the_compiler_too_saves_what_there_is(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiles: bool
):
    """SIGTERM of a whole process group ends g++, which shows as an error of torch in the middle of a step."""

    def end_compiler(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("g++ ended with -15")

    config = make_config(f"train.output_dir={tmp_path}/seed0", f"train.compile={compiles}")
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module: None)  # importing the compiler takes seconds
    monkeypatch.setattr(train_module, "training_step", end_compiler)
    if not compiles:
        with pytest.raises(RuntimeError, match="ended with -15"):  # a defect stays one
            train(config, quiet=True)
        return
    with pytest.raises(StoppedError, match="^SIGTERM: stopped and saved at iteration 0"):
        train(config, quiet=True)
    assert checkpoint(tmp_path / "seed0")["iteration"] == 0


def test_second_interrupt_stops_at_once(make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    interrupt_calls(monkeypatch, train_module, "training_step", 4, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(make_config(f"train.output_dir={tmp_path}/seed0"), quiet=True)
    assert checkpoint(tmp_path / "seed0")["iteration"] == 3, "the last regular one"


@pytest.mark.parametrize("at", [0, 3], ids=["first image", "last image"])
def test_evaluation_stops_between_two_batches_and_is_done_again(
    straight: Path, make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
):
    """Iteration two has no checkpoint of its own: it gets one, and its evaluation comes after the resume."""
    config = make_config(f"train.output_dir={tmp_path}/seed0", *SETTINGS, "dataloader.test.batch_size=1")
    interrupt_calls(monkeypatch, inference, "predict_samples", at, signal.SIGTERM)
    with pytest.raises(StoppedError):
        train(config, quiet=True)
    folder = tmp_path / "seed0"
    assert checkpoint(folder)["iteration"] == 2
    assert not [record for record in records(folder) if record["kind"] == "eval"]
    monkeypatch.undo()
    train(config, resume=True, quiet=True)
    assert_same_training(straight, folder)


def test_killed_between_checkpoint_and_evaluation_evaluates_after_the_resume(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Also where the training was at its end, and would have nothing else to do."""
    config = make_config(f"train.output_dir={tmp_path}/seed0", "train.eval_period=3", "train.max_iter=3")

    def die(*arguments: Any, **options: Any) -> None:
        raise SystemExit

    monkeypatch.setattr(between_steps, "evaluate_model", die)
    with pytest.raises(SystemExit):
        train(config, quiet=True)
    assert [record["kind"] for record in records(tmp_path / "seed0")] == ["train"] * 3
    monkeypatch.undo()
    train(config, resume=True, quiet=True)
    assert [record["kind"] for record in records(tmp_path / "seed0")] == ["train"] * 3 + ["eval"]
    assert (tmp_path / "seed0" / "DONE").exists()


def test_evaluation_that_is_written_down_is_not_made_again(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = make_config(f"train.output_dir={tmp_path}/seed0", "train.eval_period=3", "train.max_iter=4")
    interrupt_calls(monkeypatch, train_module, "training_step", 3, signal.SIGINT, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(config, quiet=True)
    kinds = [record["kind"] for record in records(tmp_path / "seed0")]
    assert kinds == ["train"] * 3 + ["eval"]
    monkeypatch.undo()
    train(config, resume=True, quiet=True)
    assert [record["kind"] for record in records(tmp_path / "seed0")] == [*kinds, "train"]


def test_evaluation_changes_neither_random_state_nor_mode(
    make_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import random

    seen, stop_or_evaluate = [], train_module.stop_or_evaluate

    def watch(state: Any, *arguments: Any) -> None:
        for when in ("before", "after"):
            if when == "after":
                stop_or_evaluate(state, *arguments)
            modes = tuple(module.training for module in state.student.modules())
            randomness = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
            seen.append((modes, randomness))
        assert seen[-1] == seen[-2]

    monkeypatch.setattr(train_module, "stop_or_evaluate", watch)
    workers = ("dataloader.test.num_workers=1", "train.eval_period=1", "train.max_iter=2")
    train(make_config(f"train.output_dir={tmp_path}/seed0", *workers), quiet=True)
    assert len(seen) == 2 * 3


def test_signals_are_left_alone_outside_and_in_other_threads():
    before = {number: signal.getsignal(number) for number in EXIT_CODES}
    with StopSignals() as signals:
        assert all(signal.getsignal(number) != handler for number, handler in before.items())
        assert not signals.requested
    assert {number: signal.getsignal(number) for number in EXIT_CODES} == before

    def enter() -> None:
        with StopSignals():
            assert {number: signal.getsignal(number) for number in EXIT_CODES} == before

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()


def test_background_job_stays_deaf_to_interrupts():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGINT)
            assert not signals.requested
            os.kill(os.getpid(), signal.SIGTERM)
            assert signals.requested
    finally:
        signal.signal(signal.SIGINT, before)
