"""What a launcher says: the place of a process, and the GPU that is its own."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest
import torch

from tests.engine.test_distributed import ENVIRONMENT
from vclr.engine import distributed, rendezvous
from vclr.engine.launched import Place, read_place
from vclr.errors import UsageError, UserError
from vclr.launch import spawn

LAUNCHED = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "MASTER_ADDR": "node1"}


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in {**LAUNCHED, "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_place_is_read(launched: pytest.MonkeyPatch):
    assert read_place() == Place(rank=5, world_size=8, local_rank=1, local_world_size=4)
    launched.setenv("WORLD_SIZE", "1")
    assert read_place() is None
    launched.setenv("WORLD_SIZE", "")
    assert read_place() is None
    launched.delenv("WORLD_SIZE")
    assert read_place() is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "RANK",
            None,
            "WORLD_SIZE is 8 in the environment, but RANK is not set: a launcher such as torchrun sets both; ",
        ),
        ("MASTER_ADDR", None, "but MASTER_ADDR is not set: a launcher such as torchrun sets both; unset WORLD_SIZE to"),
        ("MASTER_ADDR", "", "but MASTER_ADDR is not set: "),
        ("MASTER_PORT", None, "but MASTER_PORT is not set: "),
        ("RANK", "one", "RANK=one is in the environment, but is not a number from 0 to 7"),
        ("RANK", "8", "RANK=8 is in the environment, but is not a number from 0 to 7"),
        ("WORLD_SIZE", "0", "WORLD_SIZE=0 is in the environment, but is not a number above 0"),
        ("MASTER_PORT", "99999", "MASTER_PORT=99999 is in the environment, but is not a number from 1 to 65535"),
        ("LOCAL_WORLD_SIZE", "9", "LOCAL_WORLD_SIZE=9 is in the environment, but is not a number from 1 to 8"),
    ],
)
def test_half_a_place_is_refused(launched: pytest.MonkeyPatch, name: str, value: str | None, message: str):
    launched.delenv(name) if value is None else launched.setenv(name, value)
    with pytest.raises(UsageError, match=re.escape(message)):
        read_place()


@pytest.mark.parametrize("arguments", [["train"], ["train", "--num-gpus", "2"], ["evaluate", "--output", "nowhere"]])
def test_world_size_that_was_left_over_is_one_line(arguments: list[str]):
    command = [sys.executable, "-m", "vclr.cli", *arguments, "train.device=cpu"]
    environment = {**ENVIRONMENT, "WORLD_SIZE": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("vclr: WORLD_SIZE is 2 in the environment, but MASTER_ADDR is not set: ")
    assert len(done.stderr.splitlines()) == 1


# --- the wait for the others -----------------------------------------------------------------------------------------


@pytest.fixture
def left_over(launched: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of an earlier session, of which nobody else is there; and little patience."""
    launched.setenv("MASTER_ADDR", "127.0.0.1")
    launched.setenv("MASTER_PORT", str(spawn._free_port()))
    launched.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    launched.setattr(rendezvous, "JOIN_SECONDS", 1.0)
    launched.setattr(rendezvous, "NOTICE_SECONDS", 0.2)
    return launched


@pytest.mark.parametrize(
    ("rank", "whom"),
    [(0, "1 of 2 processes"), (1, "the first process")],
)
def test_wait_for_processes_that_do_not_come_is_said_and_ends(
    left_over: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, rank: int, whom: str
):
    where = f"127.0.0.1:{os.environ['MASTER_PORT']} (WORLD_SIZE, MASTER_ADDR of the environment)"
    with caplog.at_level(logging.WARNING), pytest.raises(UserError) as raised:
        rendezvous.meet(Place(rank, 2, 0, 1))
    assert [record.getMessage() for record in caplog.records] == [f"waiting for {whom} at {where}"]
    assert str(raised.value).startswith(f"waited 0.0166667 minutes for {whom} at {where}; unset WORLD_SIZE to")


def test_processes_that_come_meet(left_over: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    left_over.setattr(rendezvous, "JOIN_SECONDS", 30.0)
    left_over.setattr(rendezvous, "NOTICE_SECONDS", 30.0)
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(2) as pool:
        stores = list(pool.map(rendezvous.meet, [Place(1, 2, 1, 2), Place(0, 2, 0, 2)]))
    stores[0].set("a", "b")
    assert stores[1].get("a") == b"b"
    assert not caplog.records


# --- the GPU of a process --------------------------------------------------------------------------------------------


class Gpus:
    """A machine that shows this process some GPUs, and what is done to them, in order."""

    def __init__(self, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.touched: list[Any] = []
        monkeypatch.setattr(torch.cuda, "is_available", lambda: number > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: number)
        monkeypatch.setattr(torch.cuda, "set_device", lambda device: self.touched.append(device))
        monkeypatch.setattr(distributed, "choose_device", self._choose)

    def _choose(self, name: str) -> torch.device:
        self.touched.append(name)
        return torch.device(name)


@pytest.mark.parametrize("name", ["auto", "cuda"])
@pytest.mark.parametrize(
    ("number", "local_rank", "own"),
    [(4, 0, 0), (4, 3, 3), (1, 0, 0), (1, 3, 0)],  # the last two: SLURM's --gpus-per-task
)
def test_each_process_takes_its_own_gpu_before_any_is_touched(
    monkeypatch: pytest.MonkeyPatch, name: str, number: int, local_rank: int, own: int
):
    gpus = Gpus(number, monkeypatch)
    assert distributed._choose_own_device(name, Place(local_rank, 4, local_rank, 4)) == torch.device("cuda", own)
    assert gpus.touched == [own, f"cuda:{own}"]


def test_a_process_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch):
    gpus = Gpus(2, monkeypatch)
    with pytest.raises(UsageError, match="each process needs its own GPU: this machine has 2, process 3 has none"):
        distributed._choose_own_device("cuda", Place(2, 4, 2, 4))
    assert gpus.touched == []


def test_without_any_gpu_the_setting_decides(monkeypatch: pytest.MonkeyPatch):
    gpus = Gpus(0, monkeypatch)
    assert distributed._choose_own_device("auto", Place(1, 2, 1, 2)) == torch.device("cpu")
    distributed._choose_own_device("cuda", Place(1, 2, 1, 2))
    assert gpus.touched == ["cpu", "cuda"]  # choose_device says what is wrong with it


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([("a", "GPU-1"), ("a", "GPU-2"), ("b", "GPU-1")], None),
        ([None, None, None], None),
        (
            [("a", "GPU-1"), ("a", "GPU-2"), ("a", "GPU-1")],
            "each process needs its own GPU: 0 and 2 on a have the same",
        ),
    ],
)
def test_processes_with_one_gpu_each_are_told_from_those_that_share_one(
    monkeypatch: pytest.MonkeyPatch, others: list[Any], message: str | None
):
    def gather(places: list[Any], own: Any, group: Any) -> None:
        places[:] = others

    monkeypatch.setattr(torch.distributed, "all_gather_object", gather)
    with pytest.raises(UsageError, match=message) if message else nullcontext():
        distributed._check_own_device(torch.device("cpu"), Place(0, 3, 0, 3))


@pytest.mark.parametrize(("device", "number"), [("cuda", 0), ("auto", 1)])
def test_more_processes_than_gpus_are_not_started(monkeypatch: pytest.MonkeyPatch, device: str, number: int):
    Gpus(number, monkeypatch)
    message = f"^--num-gpus 2: train.device={device}, but this machine has {number} GPU{'s' * (number != 1)}$"
    with pytest.raises(UsageError, match=message):
        spawn.check_gpus(2, device)


@pytest.mark.parametrize(("device", "number"), [("cpu", 0), ("auto", 0), ("auto", 2), ("cuda", 3)])
def test_other_numbers_of_processes_are(monkeypatch: pytest.MonkeyPatch, device: str, number: int):
    Gpus(number, monkeypatch)
    spawn.check_gpus(2, device)


def test_processes_share_out_the_granted_cores(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(spawn, "count_cpus", lambda: 7)
    monkeypatch.setattr(spawn, "PROGRAM", [sys.executable, "-c", "import os; print(os.environ['OMP_NUM_THREADS'])"])
    assert spawn.run_processes([], 2) == 0
    assert capfd.readouterr().out.split() == ["3", "3"]
