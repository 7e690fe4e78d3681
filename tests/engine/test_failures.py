"""One of two processes fails: both end soon, the user's line says which one and why, and nothing is left."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from torch.distributed import DistBackendError, DistNetworkError

from tests.engine.same import checkpoint, records
from tests.processes import running
from vclr.config import Config, dump_config
from vclr.engine import ending
from vclr.engine.ending import LOST, LostProcessError
from vclr.errors import UserError

MakeConfig = Callable[..., Config]
ROOT = Path(__file__).parents[2]
PROGRAM = f"{ROOT}/tests/engine/failing.py"
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", PROGRAM, "train"]
NUM_GPUS = [sys.executable, PROGRAM, "train", "--num-gpus", "2"]
SETTINGS = (
    "train.max_iter=1000",
    "train.checkpointer.period=2",
    "train.eval_period=2",
    "dataloader.train.num_workers=1",
    "dataloader.test.batch_size=1",
)
MADE = "made to fail"
slow = pytest.mark.slow


@dataclass
class End:
    """How a command ended.

    Attributes:
        exit_code: of the command.
        seconds: from the failure to the end of all.
        lines: those of its standard error that are for the user.
        said: all of its standard error.
    """

    exit_code: int
    seconds: float
    lines: list[str]
    said: str


def end_of(starter: list[str], failure: str, config: Config, folder: Path) -> End:
    """Run a training that fails, to its end; nothing of it may be left."""
    (folder / "settings.yaml").write_text(dump_config(config))
    command = [*starter, "--config-file", f"{folder}/settings.yaml", f"train.output_dir={folder}/seed0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    environment |= {"FAILURE": failure, "FAILED_AT": f"{folder}/failed_at"}
    with running(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        _, said = process.communicate(timeout=150)
    seconds = time.time() - float((folder / "failed_at").read_text())
    left = [other for other in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(other.info["cmdline"] or ())]
    assert not psutil.wait_procs(left, timeout=1)[1]
    return End(process.returncode, seconds, [line for line in said.splitlines() if line.startswith("vclr: ")], said)


@pytest.mark.parametrize(
    ("starter", "failure", "message"),
    [
        (
            NUM_GPUS,
            "forward:1:memory",
            "out of memory (CUDA out of memory, made to fail); set train.micro_batch_size=1",
        ),
        pytest.param(TORCHRUN, "evaluation:0:defect", "RuntimeError: made to fail", marks=slow),
        pytest.param(NUM_GPUS, "loader:1:user", MADE, marks=slow),
        pytest.param(NUM_GPUS, "loader:0:defect", "RuntimeError: made to fail", marks=slow),
        pytest.param(TORCHRUN, "forward:0:defect", "RuntimeError: made to fail", marks=slow),
        pytest.param(NUM_GPUS, "backward:1:defect", "RuntimeError: made to fail", marks=slow),
        pytest.param(TORCHRUN, "backward:0:memory", "out of memory (CUDA out of memory", marks=slow),
        pytest.param(NUM_GPUS, "backward:0:peer", "RuntimeError: made to fail: no peer access", marks=slow),
        pytest.param(NUM_GPUS, "collective:0:user", MADE, marks=slow),
        pytest.param(TORCHRUN, "collective:1:defect", "RuntimeError: made to fail", marks=slow),
        pytest.param(NUM_GPUS, "collective:1:nccl", "invalid usage ncclInvalidUsage: Last error: Dupl", marks=slow),
        pytest.param(NUM_GPUS, "collective:0:nccl,collective:1:nccl", "Duplicate GPU detected", marks=slow),
        pytest.param(NUM_GPUS, "evaluation:0:user", MADE, marks=slow),
        pytest.param(NUM_GPUS, "evaluation:1:user", MADE, marks=slow),
        pytest.param(NUM_GPUS, "save:0:disk", "last.pt: could not be written: No space left", marks=slow),
        pytest.param(TORCHRUN, "save:0:defect", "RuntimeError: made to fail", marks=slow),
    ],
    ids=lambda value: value if isinstance(value, str) and ":" in value and " " not in value else "",
)
def test_the_first_cause_is_said_once_and_all_end(
    starter: list[str], failure: str, message: str, make_config: MakeConfig, tmp_path: Path
):
    end = end_of(starter, failure, make_config(*SETTINGS), tmp_path)
    assert len(end.lines) == 1, end.said
    line = end.lines[0]
    ranks = [part.split(":")[1] for part in failure.split(",")]
    assert any(line.startswith(f"vclr: process {rank} on {platform.node()}: ") for rank in ranks), end.said
    assert message in line
    assert end.exit_code == 1
    assert end.seconds < 20
    # The traceback of a defect, and no one else's.
    assert end.said.count("    raise ERRORS[kind]\n") == ("RuntimeError" in message), end.said
    assert message.removeprefix("RuntimeError: ") in (tmp_path / "seed0" / "log.txt").read_text()


def test_a_signal_to_one_process_in_the_evaluation_stops_both(make_config: MakeConfig, tmp_path: Path):
    """In the evaluation of the teacher: each has two of the four images, and the student's are done."""
    end = end_of(NUM_GPUS, "evaluation:1:stop", make_config(*SETTINGS, "train.max_iter=20"), tmp_path)
    assert end.lines == ["vclr: SIGUSR1: stopped and saved at iteration 2; --resume continues from there"], end.said
    assert end.exit_code == os.EX_TEMPFAIL
    assert checkpoint(tmp_path / "seed0")["iteration"] == 2
    assert [one["iteration"] for one in records(tmp_path / "seed0") if one["kind"] == "eval"] == []


@slow
@pytest.mark.parametrize("starter", [NUM_GPUS, TORCHRUN], ids=["num-gpus", "torchrun"])
def test_a_process_that_hangs_is_ended_with_the_cause_of_the_other(
    starter: list[str], make_config: MakeConfig, tmp_path: Path
):
    """As a process whose GPU waits for another one, which inside a node nothing tells that it is gone."""
    end = end_of(starter, "forward:1:defect,forward:0:hang", make_config(*SETTINGS), tmp_path)
    assert end.lines == [f"vclr: process 1 on {platform.node()}: RuntimeError: made to fail"], end.said
    assert end.exit_code == 1
    assert end.seconds < 20
    last = (tmp_path / "seed0" / "log.txt").read_text().splitlines()[-1]
    assert last.endswith(f"ERROR training stopped: process 1 on {platform.node()}: RuntimeError: made to fail")


@slow
@pytest.mark.parametrize("number", [0, 1])
def test_a_process_that_is_killed_leaves_no_cause(number: int, make_config: MakeConfig, tmp_path: Path):
    end = end_of(NUM_GPUS, f"backward:{number}:kill", make_config(*SETTINGS), tmp_path)
    assert end.lines == ["vclr: another process of this training ended"], end.said
    assert end.exit_code == 128 + signal.SIGKILL
    assert end.seconds < 20


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:45445."), LOST),
        (RuntimeError("[/build/gloo/gloo/tcp/pair.cc:537] Read error [::1]:57: Connection reset by peer."), LOST),
        (DistBackendError("NCCL error in: nccl.cpp:1, remote process exited or there was a network error"), LOST),
        (DistNetworkError("Failed to recv, got 0 bytes. Connection was likely closed."), LOST),
        (RuntimeError("[gloo/transport/tcp/buffer.cc:78] Timed out waiting 6000ms"), "Timed out waiting 6000ms$"),
        (DistBackendError("NCCL error in: nccl.cpp:1\nLast error:\n/dev/shm: 12 of 13"), "Last error: /dev/shm: 12 of"),
        (RuntimeError("CUDA error: peer access is not supported between these two devices"), None),
        (RuntimeError("the photo shows an igloo and a broken pipe"), None),
    ],
)
def test_only_the_loss_of_a_process_is_taken_for_one(
    error: RuntimeError, message: str | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ending, "_causes", Silence())
    with pytest.raises(UserError if message else RuntimeError, match=message) as raised, ending.naming_causes():
        raise error
    assert (raised.value is error) == (message is None)
    assert isinstance(raised.value, LostProcessError) == (message == LOST)


def test_a_process_that_leaves_because_it_is_stuck_records_that_it_failed(monkeypatch: pytest.MonkeyPatch):
    done: list[object] = []
    monkeypatch.setattr(ending, "leave", done.append)
    with ending.recording_failure(lambda: done.append("FAILED")):
        ending._leave_stuck("process 1 on here: out of memory")
    ending._leave_stuck("process 1 on here: out of memory")
    assert done == ["FAILED", 1, 1]


class Silence:
    """Stands for the store of processes of which none has reported anything."""

    name, is_over = "process 0 on here", False

    def find(self, patience: float) -> str:
        return ""

    def may_say(self) -> bool:
        return True

    def report(self, cause: str) -> None:
        assert cause != LOST

    def stop(self) -> None:
        pass
