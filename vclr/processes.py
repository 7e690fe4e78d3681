"""What a process of ours owes to the one that started it, and what it wants to know of torch."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # of linux/prctl.h
# How the threads of torch wait for each other: each variable belongs to one OpenMP library, or to all.
WAITING = {
    "GOMP_SPINCOUNT": "5000",  # GNU's, in torch for Linux: turns of a loop, about 0.3 milliseconds
    "KMP_BLOCKTIME": "0",  # LLVM's and Intel's, in torch for macOS and Windows: milliseconds
}


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, however that ends (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def limit_spinning() -> None:
    """Have the threads of torch sleep soon while they wait for each other, unless the user has said how they wait.

    By default, a thread that has finished its part of a loop spins for milliseconds until the others have. If another
    program needs the processor that one of these others wants, it gets nothing done, and steps take many times as
    long. What is set here costs about 5 % on a quiet machine and at most doubles the time of one thread on a busy one
    (benchmarks/waiting.py). OpenMP reads the variables when it is loaded, so this comes before torch is imported.
    Child processes inherit them.
    """
    if not os.environ.keys() & {*WAITING, "OMP_WAIT_POLICY"}:
        os.environ.update(WAITING)


def count_cpus() -> int:
    """Count the cores that the scheduler grants, which on a shared node are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def torch_environment() -> dict[str, str]:
    """Return what must be in the environment when one of several processes imports torch.

    Without a GPU, the warnings of its C++ parts are silenced: the only one concerns `find_unused_parameters`, which an
    exact resume needs (engine/state.py).
    """
    return {} if has_gpu_driver() else {"TORCH_CPP_LOG_LEVEL": "ERROR"}


def has_gpu_driver() -> bool:
    """Tell whether the library is there through which CUDA reaches a driver: also in containers, and on WSL2."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True
