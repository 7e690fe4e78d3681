"""Real trainings, killed and at once, with a file and with a server: one run each, equal to their metrics.jsonl."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.processes import running
from tests.tiny_training import TINY
from tests.tracking.folders import assert_delivered, points_in, stored_run, stored_runs
from vclr.config import Config, dump_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
MakeConfig = Callable[..., Config]
ROOT = Path(__file__).parents[2]
SETTINGS = (
    *TINY,
    "dataloader.train.total_batch_size=2",
    "dataloader.train.num_workers=0",
    "train.max_iter=90",
    "train.log_period=1",
    "train.checkpointer.period=9",
    "train.num_threads=1",
)


@pytest.fixture(params=["file", "server"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the address of a SQLite file that is not there yet, and of a tracking server on PostgreSQL."""
    if request.param == "file":
        return f"sqlite:///{tmp_path}/mlflow.db"
    return str(request.getfixturevalue("tracking_server").uri)


def write_settings(make_config: MakeConfig, tmp_path: Path, store: str, *overrides: str) -> Config:
    """Write the settings of a training; the store has those of other tests, too."""
    config = make_config(*SETTINGS, *overrides, f"tracking.uri={store}", f"tracking.experiment={tmp_path.name}")
    (tmp_path / "settings.yaml").write_text(dump_config(config))
    return config


def command(tmp_path: Path, name: str = "demo/seed0", *overrides: str) -> list[str]:
    settings = ["--config-file", f"{tmp_path}/settings.yaml", f"train.output_dir={tmp_path}/runs/{name}", *overrides]
    return [sys.executable, "-m", "vclr.cli", "train", "--resume", "--quiet", *settings]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_killed_ten_times_is_one_run_without_doubles_or_holes(make_config: MakeConfig, tmp_path: Path, store: str):
    config, folder = write_settings(make_config, tmp_path, store), tmp_path / "runs/demo/seed0"
    chooser = random.Random(0)
    for number in range(10):
        with running(command(tmp_path), env=ENVIRONMENT, stdout=subprocess.DEVNULL) as process:
            # Before the first record, in the middle of repeating, long before and right after a checkpoint.
            until, end = count_lines(folder / "metrics.jsonl") + chooser.choice((0, 1, 3, 7)), time.monotonic() + 120
            while count_lines(folder / "metrics.jsonl") < until or not (folder / "tracking").exists():
                assert process.poll() is None and time.monotonic() < end, f"start {number}"
                time.sleep(0.01)
            time.sleep(chooser.random() / 4)  # a few steps at most: ten kills must not outlast the training
            os.killpg(process.pid, signal.SIGKILL)
    subprocess.run(command(tmp_path), env=ENVIRONMENT, check=True, timeout=600)
    run = stored_run(config)
    assert run.info.status == "FINISHED"
    assert int(run.data.tags["attempts"]) > 5  # a start may be killed before it counts
    assert_delivered(config, folder)
    assert [point[0] for point in points_in(folder)["train/loss"]] == list(range(1, 91))


def test_eight_trainings_share_a_store(make_config: MakeConfig, tmp_path: Path, store: str):
    """For about a minute with the file, whose lock they share."""
    steps = 90 if store.startswith("sqlite") else 15
    config = write_settings(make_config, tmp_path, store, f"train.max_iter={steps}")
    names = [f"demo/seed{seed}" for seed in range(8)]
    commands = [command(tmp_path, name, f"train.seed={seed}") for seed, name in enumerate(names)]
    trainings = [subprocess.Popen(one, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) for one in commands]
    for training in trainings:
        errors = training.communicate()[1]
        assert training.returncode == 0, errors
        assert "training continues" not in errors
    sync = [sys.executable, "-m", "vclr.cli", "track", "sync", f"{tmp_path}/runs"]
    subprocess.run(sync, env=ENVIRONMENT, check=True, timeout=300)
    runs = {run.info.run_name: run for run in stored_runs(config)}
    assert sorted(runs) == names
    for name, run in runs.items():
        assert run.info.status == "FINISHED"
        assert_delivered(config, tmp_path / "runs" / name, run)


def test_a_training_that_is_never_resumed_is_killed_after_a_sync(make_config: MakeConfig, tmp_path: Path, store: str):
    config, folder = write_settings(make_config, tmp_path, store), tmp_path / "runs/demo/seed0"
    with running(command(tmp_path), env=ENVIRONMENT, stdout=subprocess.DEVNULL) as process:
        end = time.monotonic() + 120
        while count_lines(folder / "metrics.jsonl") < 3:
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        for child in psutil.Process(process.pid).children():  # the whole machine is lost
            child.kill()
        os.killpg(process.pid, signal.SIGKILL)
    sync = [sys.executable, "-m", "vclr.cli", "track", "sync", str(folder)]
    said = subprocess.run(sync, env=ENVIRONMENT, check=True, timeout=300, capture_output=True, text=True).stdout
    assert re.search("delivered to .*; KILLED\n$", said)
    assert stored_run(config).info.status == "KILLED"
    assert_delivered(config, folder)
