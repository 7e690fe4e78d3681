"""CPU use of other programs is measured, and mentioned if it is large."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest

from vclr import other_work
from vclr.other_work import OtherWork, describe_other_work


def test_share_is_what_neither_this_process_nor_its_children_used(monkeypatch: pytest.MonkeyPatch):
    """20 s on 4 CPUs: 30 s of work, 10 s of which is by this process and its children."""
    clocks = iter([(100.0, 1000.0, 7.0), (120.0, 1030.0, 17.0), (121.0, 1030.5, 18.0)])
    monkeypatch.setattr(other_work, "_read_clocks", lambda: next(clocks))
    monkeypatch.setattr(other_work.os, "cpu_count", lambda: 4)
    measured = OtherWork()
    assert measured.share() == pytest.approx(20 / 80)
    assert measured.share() == 0.0  # clocks of the system tick: never below nothing


def test_clocks_count_children_and_leave_idle_time_out(monkeypatch: pytest.MonkeyPatch):
    times = SimpleNamespace(
        _asdict=lambda: {"user": 5.0, "system": 2.0, "idle": 90.0, "iowait": 3.0, "steal": 1.0, "guest": 4.0}
    )
    monkeypatch.setattr(psutil, "cpu_times", lambda: times)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert other_work._read_clocks()[1] == 8.0
    own = other_work._read_clocks()[2]
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as child:
        deadline = time.monotonic() + 60
        while other_work._read_clocks()[2] < own + 0.2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert other_work._read_clocks()[2] >= own + 0.2
        monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
        assert other_work._read_clocks()[2] >= 2 * (own + 0.2)
        child.kill()


def test_sentence_weighs_records_by_their_steps():
    def record(iteration: int, share: float | None) -> dict:
        return {"kind": "train", "iteration": iteration} | ({} if share is None else {"other_work": share})

    records = [record(10, 0.0), {"kind": "eval", "iteration": 10}, record(40, 0.6), record(60, None)]
    assert describe_other_work(records) == ("While this was timed, other programs used 45% of the machine's CPU time.")
    two_trainings = [record(30, 0.1), record(10, 0.5)]
    assert "used 20% of" in describe_other_work(two_trainings)
    assert describe_other_work([record(10, 0.02), record(20, 0.1)]) == ""
    assert describe_other_work([record(10, None)]) == describe_other_work([]) == ""
