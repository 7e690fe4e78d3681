"""The device and the floating-point precision of a run."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.torch_version import TorchVersion

from vclr.errors import UsageError, first_line
from vclr.nvml import driver_version

DEVICES = r"auto|cpu|cuda(:\d+)?"
DTYPES = ("auto", "float32", "bfloat16")  # of pretrained models
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of malloc.h


def choose_device(name: str, said: str = "") -> torch.device:
    """Return the device called `name`, and configure its memory allocator. `auto` is CUDA if available, else the CPU.

    Args:
        name: the device.
        said: what errors call it: the option that it comes from, with the name (default: the key train.device).

    Raises:
        UsageError: `name` does not match `DEVICES`, or this machine has no such device.
    """
    said = said or f"train.device={name}"
    if not re.fullmatch(DEVICES, name):
        raise UsageError(f"{said}: must be auto, cpu, cuda or cuda:NUMBER")
    name = resolve_device(name)
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"{said}: {no_cuda()}")
    if name == "cpu":
        reuse_memory()
    elif name.startswith("cuda"):
        use_expandable_segments()
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise UsageError(f"{said}: {first_line(error)}") from None


def resolve_device(name: str) -> str:
    """Return `cuda` or `cpu` for `auto`, depending on whether torch can use a GPU; return any other name unchanged."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


def reuse_memory() -> None:
    """Have glibc keep the memory of freed large tensors instead of returning it to the system.

    The system clears each page that it hands out, which otherwise takes a tenth of a training step.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, 256 << 20)
        library.mallopt(M_TRIM_THRESHOLD, 1 << 30)


def use_expandable_segments() -> None:
    """Have torch allocate GPU memory in expandable segments, unless the user has configured its allocator.

    With images of many sizes, segments of fixed size fragment the memory, and it runs out while much of it is free.
    This has no effect once CUDA has been used. Windows and WSL do not support expandable segments.
    """
    is_linux = platform.system() == "Linux" and "microsoft" not in platform.release().lower()
    if is_linux and not os.environ.keys() & {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"}:
        # Torch 2.9 renamed the variable, but only reads the new name from 2.10 on (pytorch/pytorch#183387).
        name = "PYTORCH_ALLOC_CONF" if TorchVersion(torch.__version__) >= "2.10" else "PYTORCH_CUDA_ALLOC_CONF"
        os.environ[name] = "expandable_segments:True"


def describe_device(device: torch.device, name: str = "auto") -> str:
    """Describe a device in words; for a CPU, also say why no GPU is used.

    Args:
        device: the result of `choose_device`.
        name: the name passed to it.
    """
    if device.type == "cuda":
        versions = f"driver {driver_version() or 'unknown'}", f"CUDA {torch.version.cuda}"
        parts = [torch.cuda.get_device_name(device), *versions]
        if is_built_for_gpus() and torch.cuda.get_device_capability(device) >= (8, 0):
            parts.append(f"TF32 {'on' if uses_tf32() else 'off'}")
        return f"{device} ({', '.join(parts)})"
    if device.type == "cpu":
        reason = f"no GPU that torch can use: {_why_no_gpu()}" if name == "auto" else f"as train.device={name} says"
        return f"the CPU ({reason})"
    return str(device)


def is_built_for_gpus() -> bool:
    """Tell whether this torch is built for GPUs (CUDA or ROCm), and so has streams, for example."""
    return torch.version.cuda is not None or torch.version.hip is not None


def no_cuda() -> str:
    """Say why torch cannot use a GPU here, and what to do about it."""
    if is_built_for_gpus():
        return f"torch can use no GPU here ({_why_no_gpu()}); `nvidia-smi` shows what the driver sees"
    return (
        f"torch {torch.__version__} is built without CUDA; install a build for GPUs "
        "(https://pytorch.org/get-started/locally), or set the device to auto"
    )


def _why_no_gpu() -> str:
    if not is_built_for_gpus():
        return "this torch is built without CUDA"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and visible.strip() in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES={visible} hides all GPUs"
    try:
        torch.cuda.init()
    except RuntimeError as error:  # no driver, or one that is too old
        return first_line(error).rstrip(".")
    return "torch gives no reason"


@contextmanager
def float32_precision(tf32: bool) -> Iterator[None]:
    """Allow or forbid TF32 for float32 products on GPUs, in a block or in the function that this decorates.

    From Ampere on, GPUs compute products several times as fast in TF32, with 10 bits of mantissa instead of 23. By
    default, torch allows it for convolutions and forbids it for matrix products. CPUs do not have it.
    """
    # The newer switches (`fp32_precision`) must not be mixed with these, and torch 2.6 does not have them.
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def uses_tf32() -> bool:
    """Tell whether TF32 is currently allowed for all float32 products."""
    return torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the number format called `name`; `auto` is bfloat16 where it is fast, else float32.

    It is fast on GPUs that compute in it, and on CPUs with AMX.

    Raises:
        UsageError: it is none of `DTYPES`.
    """
    if name not in DTYPES:
        raise UsageError(f"--dtype {name}: must be one of {', '.join(DTYPES)}")
    if name != "auto":
        return torch.bfloat16 if name == "bfloat16" else torch.float32
    if device.type == "cuda":
        is_fast = torch.cuda.get_device_capability(device) >= (8, 0) or torch.version.hip is not None
    else:
        is_fast = device.type == "cpu" and has_amx()
    return torch.bfloat16 if is_fast else torch.float32


def has_amx() -> bool:
    """Tell whether this machine's CPU multiplies matrices of bfloat16 in hardware."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False


def autocast(dtype: str, device: torch.device) -> torch.autocast:
    """Return the mixed-precision context for `bfloat16` or `float16`; for `float32`, a context without effect."""
    enabled = dtype != "float32"
    return torch.autocast(device.type, getattr(torch, dtype) if enabled else None, enabled=enabled)
