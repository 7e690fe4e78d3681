"""GPU information from NVIDIA's driver (NVML). Unlike CUDA calls, these allocate no memory on the GPUs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch


@dataclass
class GpuLoad:
    """The load of a GPU from all processes on it: memory in bytes, and utilization in percent of the time."""

    used: int
    total: int
    utilization: float


def driver_version() -> str | None:
    """Return the driver's version; None if there is no driver or it does not answer."""
    nvml = _library()
    return None if nvml is None else str(nvml.nvmlSystemGetDriverVersion())


def gpu_load(index: int) -> GpuLoad | None:
    """Return the load of the GPU with this index in torch; None if the driver does not report it.

    For example, it does not report it for a MIG slice of a GPU. CUDA must be initialized.
    """
    nvml = _library()
    if nvml is None:
        return None
    # By UUID, because the driver's own indices ignore CUDA_VISIBLE_DEVICES.
    name = f"GPU-{torch.cuda.get_device_properties(index).uuid}"
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(name)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        return GpuLoad(memory.used, memory.total, nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    except nvml.NVMLError:
        return None


@cache
def _library() -> Any:
    """Return the initialized NVML module; None without the driver (or the package, in older environments)."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml
