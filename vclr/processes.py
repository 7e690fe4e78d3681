"""Settings of a process: its parent, its CPUs, and the environment that torch reads when it is imported."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # from linux/prctl.h
# How long the threads of torch spin while they wait for each other; each OpenMP library has its own variable.
WAITING = {
    "GOMP_SPINCOUNT": "5000",  # GNU's, in torch for Linux: loop iterations, about 0.3 ms
    "KMP_BLOCKTIME": "0",  # LLVM's and Intel's, in torch for macOS and Windows: ms
}


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent dies for any reason (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def limit_spinning() -> None:
    """Have the threads of torch spin only briefly while they wait for each other, unless the user has configured this.

    By default, a thread that has finished its part of a loop spins for milliseconds until the other threads have
    finished. If one of those threads shares its CPU with another program, the spinning achieves nothing, and steps take
    many times as long. These settings cost about 5 % on an idle machine and at most double the time of a single thread
    on a busy one (benchmarks/waiting.py). OpenMP reads the variables when it is loaded, so they must be set before
    torch is imported. Child processes inherit them.
    """
    if not os.environ.keys() & {*WAITING, "OMP_WAIT_POLICY"}:
        os.environ.update(WAITING)


def count_cpus() -> int:
    """Count the CPU cores that this process may use; on a shared node, these are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def torch_environment() -> dict[str, str]:
    """Return the environment variables for the processes of a distributed training, set before torch is imported.

    Without a GPU, they silence the warnings of torch's C++ code: the only one concerns `find_unused_parameters`, which
    exact resume needs (engine/state.py).
    """
    return {} if has_gpu_driver() else {"TORCH_CPP_LOG_LEVEL": "ERROR"}


def has_gpu_driver() -> bool:
    """Tell whether the CUDA driver library is installed; this also works in containers and on WSL2."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
