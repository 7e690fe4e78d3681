"""Start several processes on this machine: those of one training, like torchrun, or commands side by side.

The exit code is that of the first process to fail.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

from vclr.errors import UsageError
from vclr.processes import count_cpus, end_with_parent, torch_environment

PROGRAM = [sys.executable, "-m", "vclr.cli"]
FORWARDED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
# Seconds in which the others may notice that one has failed, before they are killed.
GRACE = 20.0


def check_gpus(num_processes: int, device: str, setting: str = "train.device=") -> None:
    """Refuse more processes than this machine has GPUs; on the device `auto`, a machine without GPUs uses its CPU.

    Args:
        num_processes: how many are wanted.
        device: where they shall run.
        setting: what errors put before the device: the key or the option that it comes from.
    """
    if device == "cpu":
        return
    import torch

    num_gpus = torch.cuda.device_count()
    if num_processes > num_gpus and (num_gpus or device != "auto"):
        found = f"{num_gpus} GPU{'s' * (num_gpus != 1)}"
        raise UsageError(f"--num-gpus {num_processes}: {setting}{device}, but this machine has {found}")


def run_processes(arguments: list[str], num_processes: int) -> int:
    """Run `vclr ARGUMENTS` in several processes that form one training; return 0, or the code of the first to fail.

    A signal is passed on to all. If one fails, the others are ended; if this process dies, they die with it.
    """
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), **torch_environment()}
    shared |= {"WORLD_SIZE": str(num_processes), "LOCAL_WORLD_SIZE": str(num_processes)}
    ranks = [{**shared, "RANK": str(number), "LOCAL_RANK": str(number)} for number in range(num_processes)]
    return _run([(arguments, rank) for rank in ranks], GRACE)


def run_commands(commands: Sequence[list[str]]) -> int:
    """Run `vclr ARGUMENTS` for several lists of arguments at once, each with a GPU of its own if there are GPUs.

    A signal is passed on to all; if this process dies, they die with it. If one fails, the others finish.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    # An empty variable hides all GPUs, so it stays; on a machine without GPUs, it has no effect.
    gpus = [str(number) for number in range(len(commands))] if visible is None else visible.split(",")
    own = [{"CUDA_VISIBLE_DEVICES": gpus[number]} if number < len(gpus) else {} for number in range(len(commands))]
    return _run(list(zip(commands, own, strict=True)), float("inf"))


def _run(commands: Sequence[tuple[list[str], dict[str, str]]], grace: float) -> int:
    """Run several `vclr ARGUMENTS`, each with its own variables of the environment."""
    environment = dict(os.environ)
    environment.setdefault("OMP_NUM_THREADS", str(max(1, count_cpus() // len(commands))))
    processes = [
        # In sessions of their own, so that a Ctrl-C reaches them once, from here.
        subprocess.Popen(
            [*PROGRAM, *arguments],
            env={**environment, **own},
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
        for arguments, own in commands
    ]

    def forward(number: int, frame: FrameType | None) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        return _wait(processes, grace)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(processes: list[subprocess.Popen[bytes]], grace: float) -> int:
    """Wait until all have ended, or until one has failed and the others had time to end; return the exit code."""
    deadline = float("inf")
    while None in [process.poll() for process in processes] and time.monotonic() < deadline:
        if any(process.returncode for process in processes):
            deadline = min(deadline, time.monotonic() + grace)
        time.sleep(0.05)
    failed = [process.returncode for process in processes if process.returncode]
    if any(process.returncode is None for process in processes):  # those that did not notice say nothing either
        number, code = next((number, p.returncode) for number, p in enumerate(processes) if p.returncode)
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        print(f"vclr: process {number} {how}, and the others did not end by themselves", file=sys.stderr)
    # Those that lose another process end with 1, too.
    code = next((code for code in failed if code != 1), 1) if failed else 0
    return 128 - code if code < 0 else code  # a shell's code for the signal that killed it


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
