"""Which device a run is on, and in which precision."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.torch_version import TorchVersion

from vclr.errors import UsageError
from vclr.nvml import driver_version

DEVICES = r"auto|cpu|cuda(:\d+)?"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` is CUDA where there is one. Sets up how its memory is handed out.

    Raises:
        UsageError: it is none of `DEVICES`, or this machine has none.
    """
    if not re.fullmatch(DEVICES, name):
        raise UsageError(f"train.device={name}: must be auto, cpu, cuda or cuda:NUMBER")
    name = resolve_device(name)
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"train.device={name}: {no_cuda()}")
    if name == "cpu":
        reuse_memory()
    elif name.startswith("cuda"):
        use_expandable_segments()
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise UsageError(f"train.device={name}: {str(error).splitlines()[0]}") from None


def resolve_device(name: str) -> str:
    """Return what `auto` stands for here, CUDA if torch can use a GPU; any other name itself."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def reuse_memory() -> None:
    """Have the C library (glibc only) keep what large tensors leave, instead of giving it back to the system.

    The system hands memory out page by page, cleared: a tenth of a training step goes into that otherwise.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, 256 << 20)
        library.mallopt(M_TRIM_THRESHOLD, 1 << 30)


def use_expandable_segments() -> None:
    """Have torch take the memory of a GPU in segments that grow, unless the user has said how it is to do that.

    With images of many sizes, segments of fixed sizes leave gaps: memory runs out while much of it is free. Works until
    CUDA is first used. Windows, and Linux in it, have no such segments.
    """
    is_linux = platform.system() == "Linux" and "microsoft" not in platform.release().lower()
    if is_linux and not os.environ.keys() & {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"}:
        # Torch 2.9 renamed it, but heeds the new name from 2.10 on (pytorch/pytorch#183387).
        name = "PYTORCH_ALLOC_CONF" if TorchVersion(torch.__version__) >= "2.10" else "PYTORCH_CUDA_ALLOC_CONF"
        os.environ[name] = "expandable_segments:True"


def describe_device(device: torch.device, name: str = "auto") -> str:
    """Say in words what a device is, and of a CPU, why it is no GPU.

    Args:
        device: what `choose_device` returned.
        name: what it was asked for.
    """
    if device.type == "cuda":
        parts = [
            torch.cuda.get_device_name(device),
            f"driver {driver_version() or 'unknown'}",
            f"CUDA {cuda_version()}",
        ]
        if is_built_for_gpus() and torch.cuda.get_device_capability(device) >= (8, 0):
            parts.append(f"TF32 {'on' if uses_tf32() else 'off'}")
        return f"{device} ({', '.join(parts)})"
    if device.type == "cpu":
        reason = f"no GPU that torch can use: {_why_no_gpu()}" if name == "auto" else f"as train.device={name} says"
        return f"the CPU ({reason})"
    return str(device)


def is_built_for_gpus() -> bool:
    """Tell whether this torch has what only one that is built for GPUs has, such as streams."""
    return torch.version.cuda is not None or torch.version.hip is not None


def no_cuda() -> str:
    """Say why torch can use no GPU here, and what to do about it."""
    if is_built_for_gpus():
        return f"torch can use no GPU here ({_why_no_gpu()}); `nvidia-smi` shows what the driver sees"
    return (
        f"torch {torch.__version__} is built without CUDA; install one for GPUs "
        "(https://pytorch.org/get-started/locally), or leave the device to `auto`"
    )


def cuda_version() -> str | None:
    """Return the version of CUDA that this torch was built with; None if it was built without."""
    return torch.version.cuda


def _why_no_gpu() -> str:
    if not is_built_for_gpus():
        return "this torch is built without CUDA"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES={visible} hides all"
    try:
        torch.cuda.init()
    except RuntimeError as error:  # no driver, or one that is too old
        return str(error).strip().splitlines()[0].rstrip(".")
    return "torch does not say why"


@contextmanager
def float32_precision(tf32: bool) -> Iterator[None]:
    """In the block (or the function that this decorates), let GPUs compute float32 products in TF32, or forbid it.

    From Ampere on they are several times as fast in it; the factors then have 10 bits of mantissa instead of 23. Torch
    by itself allows it in convolutions and forbids it in products of matrices. CPUs do not have it.
    """
    # The newer names of the same switches (`fp32_precision`) must not be mixed with these, and torch 2.6 lacks them.
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def uses_tf32() -> bool:
    """Tell whether all float32 products may be computed in TF32 now."""
    return torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32


def autocast(dtype: str, device: torch.device) -> torch.autocast:
    """Return the mixed-precision context of a dtype, `bfloat16` or `float16`; `float32` is none."""
    enabled = dtype != "float32"
    return torch.autocast(device.type, getattr(torch, dtype) if enabled else None, enabled=enabled)
