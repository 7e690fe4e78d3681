"""A loader's workers: signals for the training pass them by, they end when told, and never outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from torch.utils.data import DataLoader

from vclr.data.workers import BLOCKED, prepare_worker, start_workers

ROOT = Path(__file__).parents[2]


class Numbers:
    """Says which process made a sample; some take long."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, index: int) -> int:
        time.sleep(self.seconds if index > 10 else 0)
        return os.getpid()


def make_loader(dataset: Numbers, num_workers: int = 2) -> DataLoader[int]:
    return DataLoader(dataset, num_workers=num_workers, worker_init_fn=prepare_worker)  # type: ignore[arg-type]


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("number", BLOCKED, ids=lambda number: number.name)
def test_signals_pass_workers_by(number: signal.Signals):
    """Also in the moment of their birth, before they are prepared."""
    others = psutil.Process().children()  # of multiprocessing itself, say
    batches = start_workers(make_loader(Numbers()))
    workers = [child for child in psutil.Process().children() if child not in others]
    assert len(workers) >= 2
    made_by = set()
    for _ in range(20):
        for worker in workers:
            # From elsewhere: what this process sends is the loader's own word that a worker is to end.
            subprocess.run(["kill", f"-{number}", str(worker.pid)], check=True)
        made_by.add(int(next(batches)))
    assert len(made_by) == 2
    assert all(worker.is_running() for worker in workers)
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(BLOCKED), "the training itself hears them"


FORKS = """
import multiprocessing, subprocess, time
from vclr.data.workers import BLOCKED, prepare_worker

def work():
    prepare_worker(0)
    say_ready.send(True)
    time.sleep(60)

context = multiprocessing.get_context("fork")
ready, say_ready = context.Pipe(duplex=False)
worker = context.Process(target=work)
worker.start()
assert ready.recv()
for number in BLOCKED:
    subprocess.run(["kill", f"-{number}", str(worker.pid)], check=True)
worker.join(0.2)
assert worker.is_alive(), worker.exitcode
worker.terminate()
worker.join(5)
assert worker.exitcode == 0, worker.exitcode
"""


def test_workers_that_inherit_nothing_are_deaf_too():
    """Where a server forks them, say: a process of its own, without the threads that libraries start in any fork."""
    subprocess.run([sys.executable, "-c", FORKS], check=True, cwd=ROOT, timeout=120)


def test_idle_workers_end_at_once():
    others = psutil.Process().children()
    batches = start_workers(make_loader(Numbers()))
    next(batches)
    workers = [child.pid for child in psutil.Process().children() if child not in others]
    started = time.monotonic()
    del batches
    assert time.monotonic() - started < 1.0
    assert all(map(is_gone, workers))


def test_busy_worker_ends_when_the_loader_loses_patience(monkeypatch: pytest.MonkeyPatch):
    from torch.utils.data import _utils

    monkeypatch.setattr(_utils, "MP_STATUS_CHECK_INTERVAL", 0.2)  # seconds; 5 in earnest
    others = psutil.Process().children()
    batches = start_workers(make_loader(Numbers(seconds=60)))
    for _ in range(11):
        next(batches)
    workers = [child.pid for child in psutil.Process().children() if child not in others]
    time.sleep(0.1)  # both are in their long sample now
    started = time.monotonic()
    del batches
    assert time.monotonic() - started < 5.0
    assert all(map(is_gone, workers))


TRAINING = """
import sys, time
sys.path.insert(0, {folder!r})
from test_workers import Numbers, make_loader
from vclr.data.workers import start_workers

batches = start_workers(make_loader(Numbers(seconds={seconds})))
for _ in range(11):
    next(batches)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("seconds", [0, 60], ids=["idle", "busy"])
def test_workers_die_with_a_killed_training(seconds: int):
    code = TRAINING.format(folder=str(Path(__file__).parent), seconds=seconds)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, text=True) as training:
        assert training.stdout is not None
        assert training.stdout.readline() == "ready\n"
        workers = [worker.pid for worker in psutil.Process(training.pid).children()]
        assert len(workers) == 2
        training.kill()
    assert wait_until(lambda: all(map(is_gone, workers)), 1.0)
