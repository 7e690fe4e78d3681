"""The command `vclr` with one process that fails; run by test_failures.py.

FAILURE in the environment is PHASE:RANK:KIND, and FAILED_AT names a file that is written when it happens.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from vclr import cli
from vclr.data.samples import TrainingSamples
from vclr.engine import checkpoint
from vclr.errors import UserError
from vclr.evaluation import inference
from vclr.launch import spawn
from vclr.models.detector import Detector

CALL = 3  # the one that fails: after some that went well
OF_NCCL = (
    "NCCL error in: ProcessGroupNCCL.cpp:77, invalid usage\nncclInvalidUsage: \nLast error:\nDuplicate GPU detected"
)
ERRORS: dict[str, BaseException] = {
    "user": UserError("made to fail"),
    "defect": RuntimeError("made to fail\nin a second line"),
    "peer": RuntimeError("made to fail: no peer access, says gloomy torch"),  # neither gloo nor the loss of a process
    "memory": torch.OutOfMemoryError("CUDA out of memory, made to fail"),
    "disk": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "nccl": torch.distributed.DistBackendError(OF_NCCL),
}


def fail(kind: str) -> None:
    """Do what the process fails with."""
    mark = Path(os.environ["FAILED_AT"])
    mark.write_text(str(time.time()))
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "stop":  # no failure: it goes on
        os.kill(os.getpid(), signal.SIGUSR1)
        return
    if kind == "hang":  # as a process whose GPU waits for another one
        while True:
            time.sleep(1)
    raise ERRORS[kind]


def break_function(place: Any, name: str, kind: str) -> None:
    """Let a function fail when it is called for the third time."""
    function: Callable[..., Any] = getattr(place, name)
    calls = 0

    def failing(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == CALL:
            fail(kind)
        return function(*arguments, **options)

    setattr(place, name, failing)


def break_phase(phase: str, kind: str) -> None:
    """Let a part of the training fail."""
    if phase == "loader":  # in a worker process
        break_function(TrainingSamples, "draw", kind)
    elif phase == "forward":
        break_function(Detector, "forward", kind)
    elif phase == "backward":  # in the middle of it
        backward = torch.Tensor.backward

        def failing(loss: torch.Tensor, *arguments: Any, **options: Any) -> None:
            torch.Tensor.backward = backward  # type: ignore[method-assign]
            loss.grad_fn.next_functions[0][0].register_prehook(lambda _: fail(kind))  # type: ignore[union-attr]
            backward(loss, *arguments, **options)

        torch.Tensor.backward = failing  # type: ignore[method-assign, assignment]
    elif phase == "collective":
        break_function(torch.distributed, "all_reduce", kind)
    elif phase == "evaluation":
        break_function(inference, "predict_samples", kind)
    elif phase == "save":
        break_function(checkpoint, "_write", kind)


def main() -> None:
    """Run `vclr` with the arguments of this program."""
    spawn.PROGRAM[:] = [sys.executable, __file__]
    for failure in os.environ["FAILURE"].split(","):
        phase, number, kind = failure.split(":")
        if os.environ.get("RANK") == number:
            break_phase(phase, kind)
    cli.main()


if __name__ == "__main__":
    main()
