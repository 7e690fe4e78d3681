"""`vclr.train` does what the command does, in this process, and leaves the process as it was."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import vclr
from tests.engine.same import assert_same_training, records
from vclr.config import Config, dump_config
from vclr.engine.train import train
from vclr.engine.train_call import Trained
from vclr.errors import UsageError

MakeConfig = Callable[..., Config]


@pytest.fixture
def file(make_config: MakeConfig, tmp_path: Path) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text(dump_config(make_config("train.max_iter=3")))
    return path


def surroundings() -> list[Any]:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)]
    log = logging.getLogger("vclr")
    return [handlers, log.level, list(log.handlers), list(logging.getLogger().handlers), torch.get_num_threads()] + [
        torch.get_default_dtype(),
        torch.random.get_rng_state().tolist(),
    ]


def test_call_is_the_command_bit_by_bit_also_in_a_thread(file: Path, make_config: MakeConfig, tmp_path: Path):
    train(make_config("train.max_iter=3", f"train.output_dir={tmp_path}/command"), quiet=True)
    before, seen, done = surroundings(), [], []

    def call() -> None:
        settings = [f"train.output_dir={tmp_path}/call", "train.num_threads=1"]
        done.append(vclr.train(file, settings, on_step=lambda *step: seen.append(step)))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert surroundings() == before
    trained: Trained = done[0]
    assert (trained.folder, trained.iteration) == (tmp_path / "call", 3)
    assert trained.checkpoint.is_file()
    assert_same_training(tmp_path / "command", tmp_path / "call")
    assert [iteration for iteration, _ in seen] == [1, 2, 3]
    for (_, losses), record in zip(seen, records(trained.folder), strict=True):
        assert losses == {key: pytest.approx(record[key], rel=1e-5) for key in losses}
    with pytest.raises(UsageError, match="holds a training; resume=True continues it$"):
        vclr.train(str(file), [f"train.output_dir={tmp_path}/call"])


def test_error_of_the_callback_saves_and_a_resumed_training_ends_the_same(file: Path, tmp_path: Path):
    class Enough(BaseException):
        pass

    def stop(iteration: int, losses: dict[str, float]) -> None:
        losses.clear()  # its own copy
        if iteration == 2:
            raise Enough

    before = surroundings()
    interrupted = [f"train.output_dir={tmp_path}/interrupted"]
    with pytest.raises(Enough):
        vclr.train(file, interrupted, on_step=stop)
    assert surroundings() == before
    content = torch.load(tmp_path / "interrupted" / "checkpoints" / "last.pt", weights_only=True)
    assert content["iteration"] == 2
    assert not (tmp_path / "interrupted" / "DONE").exists()
    vclr.train(file, interrupted, resume=True)
    vclr.train(file, [f"train.output_dir={tmp_path}/straight"])
    assert_same_training(tmp_path / "straight", tmp_path / "interrupted")
