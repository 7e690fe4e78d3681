"""One batch ahead: made beside the training, never two; its errors are the training's; nothing is left when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from vclr.config import Config, dump_config
from vclr.data import loader, prefetch
from vclr.data.loader import TrainingLoader, read_batches
from vclr.data.prefetch import Upload, one_batch_ahead
from vclr.data.samples import TrainingSamples
from vclr.data.workers import BLOCKED
from vclr.errors import UserError
from vclr.structures import Batch, Target

CPU, GPU = torch.device("cpu"), torch.device("cuda", 1)
OTHER = torch.device("meta")  # neither: the loader has its thread, and nothing is copied
ROOT = Path(__file__).parents[2]
MakeConfig = Callable[..., Config]


def make_batch(number: int = 0) -> Batch:
    images = torch.full((1, 3, 2, 2), number, dtype=torch.uint8)
    target = Target(torch.zeros(1, dtype=torch.int64), torch.zeros(1, 4), torch.zeros(1, 2, 2, dtype=torch.uint8), 0)
    return Batch(images, images, [(2, 2)], [target], ["natural"])


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("batches")]


class Maker:
    """Numbers the batches that it makes, and notes by which thread."""

    def __init__(self, fails_at: int = -1) -> None:
        self.made = 0
        self.fails_at = fails_at
        self.by: set[threading.Thread] = set()
        self.blocked: set[int] = set()

    def __call__(self) -> Batch:
        self.by.add(threading.current_thread())
        self.blocked = {*signal.pthread_sigmask(signal.SIG_BLOCK, ())}
        if self.made == self.fails_at:
            raise UserError("photo.jpg: cannot be read")
        self.made += 1
        return make_batch(self.made - 1)


def test_batches_come_in_order_and_exactly_one_is_made_ahead():
    make = Maker()
    with closing(one_batch_ahead(make, CPU)) as batches:
        for number in range(4):
            assert next(batches).images.unique().tolist() == [number]
            assert wait_until(lambda ahead=number + 2: make.made == ahead)  # type: ignore[misc]
            time.sleep(0.02)
            assert make.made == number + 2
    assert len(make.by) == 1
    assert threading.main_thread() not in make.by


def test_signals_are_the_main_threads():
    make = Maker()
    with closing(one_batch_ahead(make, CPU)) as batches:
        next(batches)
    assert make.blocked >= set(BLOCKED)
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(BLOCKED)


def test_an_error_comes_in_the_place_of_its_batch():
    batches = one_batch_ahead(Maker(fails_at=2), CPU)
    assert [int(next(batches).images.max()) for _ in range(2)] == [0, 1]
    with pytest.raises(UserError, match="photo.jpg: cannot be read"):
        next(batches)
    assert threads() == []


def test_closing_ends_the_thread():
    batches = one_batch_ahead(Maker(), CPU)
    next(batches)
    assert len(threads()) == 1
    batches.close()
    assert threads() == []


def test_a_batch_that_never_comes_does_not_keep_the_training(monkeypatch: pytest.MonkeyPatch):
    """Where a file system hangs, say: the thread is left alone, and ends when it can."""
    monkeypatch.setattr(prefetch, "PATIENCE", 0.1)
    hangs, batches = threading.Event(), iter([make_batch()])

    def make() -> Batch:
        return next(batches, None) or (hangs.wait() and make_batch())  # type: ignore[return-value]

    started = time.monotonic()
    with closing(one_batch_ahead(make, CPU)) as ahead:
        next(ahead)
    assert time.monotonic() - started < 2.0
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "batches"]
    assert thread.daemon
    hangs.set()
    assert wait_until(lambda: threads() == [])


# --- the loader ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_workers", [0, 2])
def test_closing_a_loader_ends_thread_and_workers(num_workers: int, make_config: MakeConfig):
    config = make_config(f"dataloader.train.num_workers={num_workers}")
    before = psutil.Process().children()
    with closing(read_batches(TrainingLoader(config, TrainingSamples(config), device=OTHER))) as batches:
        next(batches)
        assert len(threads()) == 1
        assert len([child for child in psutil.Process().children() if child not in before]) == num_workers
    assert threads() == []
    assert [child for child in psutil.Process().children() if child not in before] == []


def test_a_training_on_the_cpu_has_no_thread_beside_it(make_config: MakeConfig):
    with closing(read_batches(TrainingLoader(make_config(), TrainingSamples(make_config())))) as batches:
        next(batches)
        assert threads() == []


@pytest.mark.parametrize("device", [CPU, OTHER], ids=str)
@pytest.mark.parametrize("num_workers", [0, 1])
def test_data_that_cannot_be_used_is_one_line(
    num_workers: int, device: torch.device, make_config: MakeConfig, monkeypatch: Any
):
    config = make_config(f"dataloader.train.num_workers={num_workers}")
    samples = TrainingSamples(config)

    def fail(index: int) -> None:
        raise UserError("photo.jpg: cannot be read")

    monkeypatch.setattr(samples.images, "open", fail)
    with pytest.raises(UserError) as caught:
        next(read_batches(TrainingLoader(config, samples, device=device)))
    assert str(caught.value) == "photo.jpg: cannot be read"
    assert threads() == []


def test_a_training_on_the_cpu_pins_nothing(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch):
    """Though there is a GPU."""
    asked: list[bool] = []
    collate = loader.collate

    def note(samples: Any, pin_memory: bool = False) -> Batch:
        asked.append(pin_memory)
        return collate(samples)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(loader, "collate", note)
    with closing(read_batches(TrainingLoader(make_config(), TrainingSamples(make_config())))) as batches:
        next(batches)
    assert set(asked) == {False}


ENDINGS = {
    "closed": "batches.close()",
    "an error": "raise ValueError",
    "left open": "",
    "Ctrl-C": "os.kill(os.getpid(), signal.SIGINT); time.sleep(60)",
    "leaving hard": "os._exit(3)",
}


@pytest.mark.slow
@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_process_ends_at_once_and_leaves_nobody(
    ending: str, num_workers: int, make_config: MakeConfig, tmp_path: Path
):
    (tmp_path / "config.yaml").write_text(dump_config(make_config(f"dataloader.train.num_workers={num_workers}")))
    code = f"""
import os, signal, sys, time
import torch
from vclr.config import load_config
from vclr.data.loader import read_batches, TrainingLoader
from vclr.data.samples import TrainingSamples

config = load_config(sys.argv[1])
batches = read_batches(TrainingLoader(config, TrainingSamples(config), device=torch.device("meta")))
next(batches)
print("ready", flush=True)
sys.stdin.readline()
{ENDINGS[ending]}
"""
    command = [sys.executable, "-c", code, str(tmp_path / "config.yaml")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, **pipes, env=environment, text=True) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "ready\n"
        workers = psutil.Process(process.pid).children()
        assert len(workers) == num_workers
        process.stdin.write("\n")
        process.stdin.flush()
        process.wait(10)
    assert wait_until(lambda: not any(worker.is_running() for worker in workers), 2.0)


# --- on a GPU --------------------------------------------------------------------------------------------------------


class Stream:
    """Notes what is asked of it."""

    def __init__(self, name: str, events: list[Any]) -> None:
        self.name, self.events = name, events

    def wait_stream(self, other: Stream) -> None:
        self.events.append((self.name, "waits for", other.name))

    def __enter__(self) -> None:
        self.events.append((self.name, "begins"))

    def __exit__(self, *_: object) -> None:
        self.events.append((self.name, "ends"))


def test_copies_have_their_own_stream_which_the_training_waits_for(monkeypatch: pytest.MonkeyPatch):
    """A batch is waited for before the next one is begun, and its memory is held for the stream that reads it."""
    events: list[Any] = []
    computing = Stream("computing", events)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream(f"copying to {device}", events))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: computing)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: events.append(("thread is at", str(device))))
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, stream: events.append(("held for", stream.name)))
    monkeypatch.setattr(prefetch, "to_device", lambda batch, device: events.append(("to", str(device))) or batch)
    copied = [("copying to cuda:1", "begins"), ("to", "cuda:1"), ("copying to cuda:1", "ends")]
    handed_over = [("computing", "waits for", "copying to cuda:1"), *[("held for", "computing")] * 6]
    with closing(one_batch_ahead(Maker(), GPU)) as batches:
        next(batches)
        assert wait_until(lambda: len(events) == 1 + 3 + 7 + 3)
        assert events == [("thread is at", "cuda:1"), *copied, *handed_over, *copied]
        next(batches)
        assert wait_until(lambda: len(events) == 1 + 3 + 7 + 3 + 7 + 3)
        assert events[-10:] == [*handed_over, *copied]


def test_a_batch_that_a_gpu_has_no_room_for_yet_is_left_to_the_step(monkeypatch: pytest.MonkeyPatch):
    """It takes less memory and tries again, which the thread cannot."""

    def fail(*_: Any) -> Batch:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(torch.cuda, "Stream", lambda _: None)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(prefetch, "to_device", fail)
    batch, upload = make_batch(), Upload(GPU)
    assert upload.start(batch) is batch
    upload.finish(batch)  # nothing to wait for
