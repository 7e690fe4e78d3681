"""What NVIDIA's driver tells of GPUs (NVML). Asking it claims no memory on any of them, as asking CUDA would."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch


@dataclass
class GpuLoad:
    """How busy a GPU is, with the work of all processes on it: bytes, and percent of the time."""

    used: int
    total: int
    utilization: float


def driver_version() -> str | None:
    """Return the driver's version; None where there is no driver that tells."""
    nvml = _library()
    return None if nvml is None else str(nvml.nvmlSystemGetDriverVersion())


def gpu_load(index: int) -> GpuLoad | None:
    """Return the load of the GPU to which torch gives this number; None if the driver does not tell.

    It does not, for example, of a part of a GPU (MIG). CUDA must be initialized.
    """
    nvml = _library()
    if nvml is None:
        return None
    # The driver's own numbers are others: it does not look at CUDA_VISIBLE_DEVICES.
    name = f"GPU-{torch.cuda.get_device_properties(index).uuid}"
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(name)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        return GpuLoad(memory.used, memory.total, nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    except nvml.NVMLError:
        return None


@cache
def _library() -> Any:
    """Return NVML, ready to be asked; None without the driver (or the package, missing in older environments)."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml
