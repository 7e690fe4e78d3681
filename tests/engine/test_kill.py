"""`vclr train` as a process of its own, killed and signalled: nothing is lost, nothing stays behind, no bit differs."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import psutil
import pytest

from tests.engine.same import assert_same_training, checkpoint, records
from tests.processes import running
from vclr.config import Config, dump_config
from vclr.engine.train import train

MakeConfig = Callable[..., Config]
ROOT = Path(__file__).parents[2]
STEPS = 60
# Every period in the middle of the others: epochs of 5 steps, checkpoints of 4, averages of 3, evaluations of 6.
SETTINGS = (
    f"train.max_iter={STEPS}",
    "train.checkpointer.period=4",
    "train.log_period=3",
    "train.eval_period=6",
    "train.num_threads=1",
    "dataloader.test.batch_size=1",
)
WORKERS = ("dataloader.train.num_workers=2", "dataloader.test.num_workers=2")


@pytest.fixture(scope="module")
def straight(make_config: MakeConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The training without a stop, and without workers: they do not matter either."""
    folder = tmp_path_factory.mktemp("straight") / "seed0"
    train(make_config(f"train.output_dir={folder}", *SETTINGS), quiet=True)
    return folder


@pytest.fixture
def run_folder(make_config: MakeConfig, tmp_path: Path) -> Path:
    (tmp_path / "settings.yaml").write_text(dump_config(make_config(*SETTINGS, *WORKERS)))
    return tmp_path / "seed0"


@contextmanager
def training(folder: Path, *overrides: str) -> Iterator[subprocess.Popen[str]]:
    """Start `vclr train --resume` in a process group of its own, as a cluster does."""
    command = [sys.executable, "-m", "vclr.cli", "train", "--resume", "--quiet"]
    command += ["--config-file", f"{folder.parent}/settings.yaml", f"train.output_dir={folder}", *overrides]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with running(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        yield process


def finish(folder: Path, *overrides: str) -> None:
    with training(folder, *overrides) as process:
        errors = process.communicate()[1]
        assert process.returncode == 0, errors


def wait_for(process: subprocess.Popen[str], condition: Callable[[], object], seconds: float = 120) -> bool:
    """Wait until something holds; say whether it did before the process was over."""
    end = time.monotonic() + seconds
    while process.poll() is None:
        if condition():
            return True
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.0005)
    return False


def count_records(folder: Path) -> int:
    metrics = folder / "metrics.jsonl"
    return metrics.read_bytes().count(b"\n") if metrics.exists() else 0


def last_record(folder: Path) -> tuple[str, int]:
    """Return kind and iteration of what was logged last."""
    whole = (folder / "metrics.jsonl").read_text().rpartition("\n")[0] if count_records(folder) else ""
    newest = whole.splitlines()[-1:]
    for line in newest:
        kind, iteration = line.split(", ")[:2]
        return kind.split('"')[3], int(iteration.split()[-1])
    return "", 0


def has_workers(process: subprocess.Popen[str]) -> bool:
    """Whether the loader's workers are there: what the last training left was looked at before."""
    return len(psutil.Process(process.pid).children()) >= 2


def partials(folder: Path) -> set[Path]:
    return set(folder.rglob("*.partial"))


def processes_of(folder: Path) -> list[int]:
    """List the living processes whose command line names a folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        names = any(str(folder) in word for word in process.info["cmdline"] or ())
        if names and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


def is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill(process: subprocess.Popen[str], folder: Path) -> None:
    """Kill -9 a training, and see that nothing of it is left within a second."""
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    end = time.monotonic() + 1.0
    while time.monotonic() < end and not (all(map(is_gone, children)) and not processes_of(folder)):
        time.sleep(0.01)
    assert all(map(is_gone, children)), [child for child in children if not is_gone(child)]
    assert processes_of(folder) == []


# --- kill -9 ---------------------------------------------------------------------------------------------------------


def wait_for_moment(moment: str, process: subprocess.Popen[str], folder: Path, chooser: random.Random) -> bool:
    """Wait for a moment in which to kill; say whether the training was still there."""

    def is_in_write() -> bool:
        return any(path.name.startswith(".last.pt") for path in partials(folder) - stale)

    stale = partials(folder)
    if moment == "start-up":
        time.sleep(chooser.uniform(0.2, 5.0))
        return process.poll() is None
    if not wait_for(process, lambda: has_workers(process)):
        return False
    seen = count_records(folder)
    if moment == "step":
        new = chooser.randint(1, 3)
        arrived = wait_for(process, lambda: count_records(folder) >= seen + new)
        time.sleep(chooser.uniform(0.0, 0.2))
        return arrived and process.poll() is None
    if moment == "checkpoint":
        if not wait_for(process, is_in_write):
            return False
        time.sleep(chooser.uniform(0.0, 0.01))
        return process.poll() is None
    if moment == "epoch":
        first = last_record(folder)[1]
        return wait_for(process, lambda: (now := last_record(folder)[1]) != first and now % 15 == 0)
    assert moment == "evaluation"
    first = last_record(folder)

    def is_in_evaluation() -> bool:
        kind, iteration = last_record(folder)
        return kind == "train" and iteration % 6 == 0 and (kind, iteration) != first

    arrived = wait_for(process, is_in_evaluation)
    time.sleep(chooser.uniform(0.0, 0.1))
    return arrived and process.poll() is None


MOMENTS = ["start-up"] * 2 + ["step"] * 3 + ["checkpoint"] * 2 + ["epoch"] + ["evaluation"] * 2


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_ten_times_is_the_same_as_straight(straight: Path, run_folder: Path):
    seed = int(os.environ.get("VCLR_KILL_SEED", random.randrange(10**6)))
    print(f"VCLR_KILL_SEED={seed}")
    chooser = random.Random(seed)
    moments = chooser.sample(MOMENTS, len(MOMENTS))
    num_kills, stale = 0, set()
    for moment in moments:
        with training(run_folder) as process:
            if not wait_for_moment(moment, process, run_folder, chooser):
                break
            if moment != "start-up":
                assert not stale & partials(run_folder), "what the last kill left is gone"
            kill(process, run_folder)
        num_kills, stale = num_kills + 1, partials(run_folder)
        at = checkpoint(run_folder)["iteration"] if (run_folder / "checkpoints" / "last.pt").exists() else None
        print(f"killed in {moment}: last record {last_record(run_folder)}, checkpoint {at}, left {len(stale)} partial")
    assert num_kills == len(MOMENTS), "the training was over too soon for this test"
    finish(run_folder)
    assert (run_folder / "DONE").read_text() == f"{STEPS}\n"
    assert_same_training(straight, run_folder)
    assert partials(run_folder) == set()


# --- signals ---------------------------------------------------------------------------------------------------------


def stop(folder: Path, number: signal.Signals, to_group: bool, *overrides: str) -> tuple[int, str]:
    """Signal a training that is under way; return its exit code and what it says."""
    with training(folder, *overrides) as process:
        assert wait_for(process, lambda: has_workers(process))
        seen = count_records(folder)
        assert wait_for(process, lambda: count_records(folder) > seen + 1)
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 2
        (os.killpg if to_group else os.kill)(process.pid, number)
        errors = process.communicate(timeout=60)[1]
        assert all(map(is_gone, children))
    lines = [line for line in errors.splitlines() if not line.startswith(("training on", "iteration", "continuing"))]
    lines = [line for line in lines if not line.endswith("holds no training yet; starting one")]
    assert len(lines) == 1, errors
    return process.returncode, lines[0]


def test_signal_to_the_process_group_saves_and_exits_with_75(run_folder: Path, make_config: MakeConfig, tmp_path: Path):
    """A cluster's warning reaches every process of a job, the loader's workers too."""
    code, line = stop(run_folder, signal.SIGUSR1, True)
    iteration = checkpoint(run_folder)["iteration"]
    assert code == 75
    assert line == f"vclr: SIGUSR1: stopped and saved at iteration {iteration}; --resume continues from there"
    for folder in (run_folder, tmp_path / "straight"):
        settings = (*SETTINGS, f"train.max_iter={iteration + 6}", f"train.output_dir={folder}")
        train(make_config(*settings), resume=True, quiet=True)
    assert_same_training(tmp_path / "straight", run_folder)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_any_number_of_signals_is_the_same_as_straight(straight: Path, run_folder: Path):
    codes = {signal.SIGTERM: 75, signal.SIGUSR1: 75, signal.SIGUSR2: 75, signal.SIGINT: 130}
    for to_group, (number, expected) in zip(cycle((True, False)), codes.items(), strict=False):
        before = len(records(run_folder)) if run_folder.exists() else 0
        code, line = stop(run_folder, number, to_group)
        assert code == expected
        assert line.startswith(f"vclr: {number.name}: stopped and saved at iteration ")
        assert len(records(run_folder)) > before
    finish(run_folder)
    assert_same_training(straight, run_folder)


@pytest.mark.slow
def test_interrupted_twice_stops_at_once(run_folder: Path):
    with training(run_folder) as process:
        assert wait_for(process, lambda: count_records(run_folder) > 2)
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=20)
        assert process.returncode == 130
        assert all(map(is_gone, children))
    assert partials(run_folder) == set()
    finish(run_folder, "train.max_iter=12")


# --- two at a time ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_second_training_in_a_folder_is_refused_and_disturbs_nothing(straight: Path, run_folder: Path):
    with training(run_folder) as first:
        assert wait_for(first, lambda: (run_folder / "config.yaml").exists())  # written once the folder is locked
        os.kill(first.pid, signal.SIGSTOP)  # it does not get done before the second one is there
        with training(run_folder) as second:
            errors = second.communicate()[1]
            assert second.returncode == 1
            assert errors == f"vclr: train.output_dir={run_folder}: another process trains in it\n"
        os.kill(first.pid, signal.SIGCONT)
        assert first.communicate()[1] is not None
        assert first.returncode == 0
    assert_same_training(straight, run_folder)
