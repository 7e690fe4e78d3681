"""Which device a run is on, and in which precision."""

from __future__ import annotations

import ctypes
import platform

import torch

from vclr.errors import UsageError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` is CUDA where there is one. Sets up the memory of a CPU.

    Raises:
        UsageError: torch knows no such device or this machine has none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        reuse_memory()
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise UsageError(f"train.device={name}: {str(error).splitlines()[0]}") from None


def reuse_memory() -> None:
    """Have the C library (glibc only) keep what large tensors leave, instead of giving it back to the system.

    The system hands memory out page by page, cleared: a tenth of a training step goes into that otherwise.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, 256 << 20)
        library.mallopt(M_TRIM_THRESHOLD, 1 << 30)


def autocast(dtype: str, device: torch.device) -> torch.autocast:
    """Return the mixed-precision context of a dtype, `bfloat16` or `float16`; `float32` is none."""
    enabled = dtype != "float32"
    return torch.autocast(device.type, getattr(torch, dtype) if enabled else None, enabled=enabled)
