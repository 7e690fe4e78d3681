"""Start several processes of one training on this machine, like torchrun, but with the training's exit code."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

from vclr.errors import UsageError
from vclr.processes import count_cpus, end_with_parent, torch_environment

PROGRAM = [sys.executable, "-m", "vclr.cli"]
FORWARDED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
# Seconds in which the others may notice that one has failed, before they are killed.
GRACE = 20.0


def check_gpus(num_processes: int, device: str) -> None:
    """Refuse more processes than this machine has GPUs; on `train.device=auto`, a machine without GPUs uses its CPU."""
    if device == "cpu":
        return
    import torch

    num_gpus = torch.cuda.device_count()
    if num_processes > num_gpus and (num_gpus or device != "auto"):
        found = f"{num_gpus} GPU{'s' * (num_gpus != 1)}"
        raise UsageError(f"--num-gpus {num_processes}: train.device={device}, but this machine has {found}")


def run_processes(arguments: list[str], num_processes: int) -> int:
    """Run `vclr ARGUMENTS` in several processes that form one training; return 0, or the code of the first to fail.

    A signal is passed on to all. If one fails, the others are ended; if this process dies, they die with it.
    """
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
    environment.setdefault("OMP_NUM_THREADS", str(max(1, count_cpus() // num_processes)))
    environment |= torch_environment()
    environment |= {"WORLD_SIZE": str(num_processes), "LOCAL_WORLD_SIZE": str(num_processes)}
    processes = [
        # In sessions of their own, so that a Ctrl-C reaches them once, from here.
        subprocess.Popen(
            [*PROGRAM, *arguments],
            env={**environment, "RANK": str(number), "LOCAL_RANK": str(number)},
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
        for number in range(num_processes)
    ]

    def forward(number: int, frame: FrameType | None) -> None:
        for process in processes:
            if process.poll() is None:
                process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        return _wait(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(processes: list[subprocess.Popen[bytes]]) -> int:
    """Wait until all have ended, or until one has failed and the others had time to end; return the exit code."""
    deadline = float("inf")
    while None in [process.poll() for process in processes] and time.monotonic() < deadline:
        if any(process.returncode for process in processes):
            deadline = min(deadline, time.monotonic() + GRACE)
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
