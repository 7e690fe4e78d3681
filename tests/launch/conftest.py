"""Trainings through `vclr launch` as a process of its own, and a real SLURM cluster to run them on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.processes import running
from tests.tiny_training import TINY
from vclr.config import Config, dump_config
from vclr.launch.cluster import ClusterError, ask

MakeConfig = Callable[..., Config]
ROOT = Path(__file__).parents[2]
# Periods in the middle of each other; small enough for four processes on two cores.
SETTINGS = (
    *TINY,
    "dataloader.train.total_batch_size=4",
    "train.max_iter=60",
    "train.log_period=3",
    "train.checkpointer.period=7",
    "tracking.enabled=False",
    "launcher.poll_seconds=2",
)


class Launch:
    """A training folder, and `vclr launch` in it."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.folder = folder  # of the run
        self.root = folder.parents[2]
        self.settings = self.root / "settings.yaml"
        self.settings.parent.mkdir(parents=True, exist_ok=True)
        self.settings.write_text(dump_config(config))

    @contextmanager
    def start(self, *overrides: str, code: Path = ROOT) -> Iterator[subprocess.Popen[str]]:
        """Start the command of a tree; it is killed where the block ends before it does, its job is not."""
        command = [sys.executable, "-m", "vclr.cli", "launch", "--config-file", str(self.settings)]
        command.append(f"train.output_dir={self.folder.relative_to(self.root)}")
        environment = {**os.environ, "PYTHONPATH": str(code)}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        with running([*command, *overrides], cwd=self.root, env=environment, **streams) as process:
            yield process

    def run(self, *overrides: str, code: int = 0) -> str:
        """Run the command to its end and return what it says."""
        with self.start(*overrides) as process:
            output = process.communicate(timeout=240)[0]
            assert process.returncode == code, output
        return output

    def interrupt(self, process: subprocess.Popen[str], times: int = 1) -> str:
        """Press Ctrl-C, which a terminal tells the command, and Snakemake again; return all that it said."""
        for _ in range(times):
            os.killpg(process.pid, signal.SIGINT)
        output = process.communicate(timeout=60)[0]
        assert process.returncode == 130, output
        return output

    @property
    def jobs(self) -> list[Path]:
        """The folders of its jobs, the oldest first."""
        return sorted((self.folder / "jobs").glob("[0-9]*"), key=lambda folder: int(folder.name))

    def count_records(self) -> int:
        """How many lines it has logged."""
        return count_records(self.folder)

    def wait_for_records(self, number: int, process: subprocess.Popen[str] | None = None) -> None:
        """Wait until it has logged so many lines."""
        wait_for(lambda: self.count_records() >= number, process)


def count_records(folder: Path) -> int:
    """How many lines the training of a run folder has logged."""
    metrics = folder / "metrics.jsonl"
    return metrics.read_bytes().count(b"\n") if metrics.exists() else 0


def wait_for(
    condition: Callable[[], object], process: subprocess.Popen[Any] | None = None, seconds: float = 120
) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not condition():
        if process is not None and process.poll() is not None:
            output = process.stdout.read() if process.stdout else ""
            pytest.fail(f"it was over before that, with {process.returncode}: {output}")
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


@pytest.fixture
def make_launch(make_config: MakeConfig, tmp_path: Path) -> Callable[..., Launch]:
    """Return what makes a training folder with settings changed by overrides."""

    def make(*overrides: str, name: str = "work") -> Launch:
        return Launch(make_config(*SETTINGS, *overrides), tmp_path / name / "runs" / "demo" / "seed0")

    return make


@pytest.fixture(scope="session")
def cluster() -> None:
    """Skip where there is no SLURM cluster of two nodes with a partition that preempts, as .ci/run starts one."""
    try:
        partitions = ask("sinfo", "--noheader", "--format=%P %D")
    except ClusterError as error:
        pytest.skip(f"needs a SLURM cluster: {error}")
    if "main* 2" not in partitions or "urgent 2" not in partitions:
        pytest.skip("needs a SLURM cluster with two nodes and the partitions main and urgent")
