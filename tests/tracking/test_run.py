"""A training is tracked by a process beside it: nothing is lost when one of them is killed, nothing holds it up."""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.tracking.folders import INPUTS, assert_delivered, deliver, describe, record, stored_run, stored_runs
from vclr.config import Config
from vclr.tracking import run as run_module
from vclr.tracking.run import TrackedRun
from vclr.tracking.run_files import RunFiles

pytestmark = pytest.mark.timeout(180)


def start(config: Config, run_dir: Path, continues: bool = False) -> TrackedRun:
    describe(config, run_dir)
    return TrackedRun(config, run_dir, "training", INPUTS, continues)


def sidecar_of(pid: int) -> psutil.Process:
    """Return the youngest sidecar of a process; that of a test before may be at its last delivery."""
    sidecars = [child for child in psutil.Process(pid).children() if "vclr.tracking.sidecar" in child.cmdline()]
    return max(sidecars, key=psutil.Process.create_time)


def wait_for_points(config: Config, number: int, seconds: float = 90) -> None:
    """Wait until the store has so many points of the loss."""
    end = time.monotonic() + seconds
    while not any(run.data.metrics.get("train/loss") == 10.0 - number for run in stored_runs(config)):
        assert time.monotonic() < end, "the points did not come"
        time.sleep(0.2)


def test_a_training_is_delivered_while_it_runs_and_at_its_end(config: Config, run_dir: Path):
    tracked = start(config, run_dir)
    record(run_dir, range(1, 4))
    wait_for_points(config, 3)
    assert stored_run(config).info.status == "RUNNING"
    record(run_dir, range(4, 6))
    tracked.finish()
    assert stored_run(config).info.status == "FINISHED"
    assert_delivered(config, run_dir)


@pytest.mark.slow
def test_a_resume_continues_the_run_and_a_new_training_begins_one(config: Config, run_dir: Path):
    for number, continues in enumerate((False, True)):
        tracked = start(config, run_dir, continues)
        record(run_dir, [number])
        tracked.finish("KILLED" if number == 0 else "FINISHED")
    assert stored_run(config).data.tags["attempts"] == "2"
    assert_delivered(config, run_dir)
    (run_dir / "metrics.jsonl").unlink()
    start(config, run_dir).finish()
    assert len(stored_runs(config)) == 2


@pytest.mark.parametrize("victims", ["training", pytest.param("group", marks=pytest.mark.slow)])
def test_what_a_killed_training_wrote_last_is_delivered(config: Config, run_dir: Path, victims: str):
    script = (
        "import pickle, sys; from pathlib import Path; from tests.tracking.folders import record\n"
        "from tests.tracking.test_run import start, wait_for_points\n"
        "config, run_dir = pickle.loads(sys.stdin.buffer.read()), Path(sys.argv[1])\n"
        "tracked = start(config, run_dir); record(run_dir, range(3)); wait_for_points(config, 2)\n"
        "record(run_dir, range(3, 50)); print('written', flush=True); sys.stdin.close(); __import__('time').sleep(600)"
    )
    command, pipe = [sys.executable, "-c", script, str(run_dir)], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True) as process:
        assert process.stdin and process.stdout
        process.stdin.write(pickle.dumps(config))
        process.stdin.close()
        assert process.stdout.readline() == b"written\n"
        sidecar = sidecar_of(process.pid)
        (os.killpg if victims == "group" else os.kill)(process.pid, signal.SIGKILL)
    sidecar.wait(60)
    run = stored_run(config)
    assert run.info.status == "KILLED"
    assert_delivered(config, run_dir)


@pytest.mark.slow
def test_signals_for_the_training_do_not_end_the_delivery(config: Config, run_dir: Path):
    tracked = start(config, run_dir)
    sidecar = sidecar_of(os.getpid())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        sidecar.send_signal(number)
    record(run_dir, range(3))
    tracked.finish("KILLED")
    assert_delivered(config, run_dir)


@pytest.mark.slow
def test_a_sidecar_that_dies_is_replaced(config: Config, run_dir: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_module, "RESTART_PERIOD", 0.1)
    tracked = start(config, run_dir)
    sidecar_of(os.getpid()).kill()
    record(run_dir, range(3))
    wait_for_points(config, 2)
    tracked.finish()
    assert_delivered(config, run_dir)


def test_disabled_tracking_leaves_nothing(config: Config, run_dir: Path, tmp_path: Path):
    config.tracking.enabled = False
    config.tracking.uri = f"sqlite:///{tmp_path}/other.db"
    TrackedRun(config, run_dir, "training", INPUTS).finish()
    assert not (tmp_path / "other.db").exists()
    assert not list(run_dir.iterdir())


def test_a_store_that_is_not_there_costs_no_time_and_gets_everything_later(
    config: Config, run_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    store = config.tracking.uri
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        config.tracking.uri = f"http://127.0.0.1:{probe.getsockname()[1]}"
    began = time.monotonic()
    tracked = start(config, run_dir)
    assert time.monotonic() - began < 3
    record(run_dir, range(100))
    with caplog.at_level(logging.WARNING, "vclr"):
        time.sleep(8)  # until it has been tried
        began = time.monotonic()
        tracked.finish()
        assert time.monotonic() - began < 20
    warnings = [entry.getMessage() for entry in caplog.records]
    assert len([text for text in warnings if "training continues" in text]) == 1
    assert warnings[0].startswith(f"tracking in {config.tracking.uri}: ")
    assert warnings[-1].endswith(f"deliver it later with: vclr track sync {run_dir}")
    config.tracking.uri = store
    copy = tmp_path / "copy"
    shutil.copytree(run_dir, copy)
    deliver(config, copy)
    assert stored_run(config).info.status == "FINISHED"
    assert_delivered(config, run_dir)


@pytest.mark.slow
def test_an_end_that_was_recorded_is_not_changed_by_the_sidecar(config: Config, run_dir: Path):
    tracked = start(config, run_dir)
    tracked.finish("FAILED")
    assert [attempt.status for attempt in RunFiles(run_dir).attempts()] == ["FAILED"]


def test_import_is_light():
    names = "vclr.tracking.run, vclr.tracking.ui"
    script = f"import sys; import {names}; sys.exit('mlflow' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0
