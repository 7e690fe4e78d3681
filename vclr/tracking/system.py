"""The load of the machine, under the names that MLflow's own monitor uses."""

from __future__ import annotations

from contextlib import suppress

MEGABYTE = 1e6


def sample_system() -> dict[str, float]:
    """Measure processor, memory and GPUs once, in about a millisecond.

    Returns:
        `system/...` metrics. The processor's share counts from the previous call (0 in the first). GPUs are left
        out until the training has used one, so that measuring never claims memory on a device. Nothing if the machine
        or a GPU does not answer.
    """
    import psutil

    with suppress(psutil.Error, OSError, RuntimeError):  # of a GPU that is lost
        memory = psutil.virtual_memory()
        return {
            "system/cpu_utilization_percentage": psutil.cpu_percent(),
            "system/system_memory_usage_megabytes": memory.used / MEGABYTE,
            "system/system_memory_usage_percentage": memory.percent,
            "system/process_memory_megabytes": psutil.Process().memory_info().rss / MEGABYTE,
            **_sample_gpus(),
        }
    return {}


def _sample_gpus() -> dict[str, float]:
    """Measure all visible GPUs, or only those that this process uses if the driver reports no load."""
    import torch

    from vclr.nvml import gpu_load

    if not torch.cuda.is_initialized():
        return {}
    metrics: dict[str, float] = {}
    for index in range(torch.cuda.device_count()):
        load = gpu_load(index)
        if load:
            used, total = load.used, load.total
            metrics[f"system/gpu_{index}_utilization_percentage"] = load.utilization
        elif torch.cuda.memory_reserved(index):
            # This call opens a CUDA context of hundreds of megabytes on the GPU, so only ask about our own.
            free, total = torch.cuda.mem_get_info(index)
            used = total - free
        else:
            continue
        metrics[f"system/gpu_{index}_memory_usage_percentage"] = 100 * used / total
    return metrics
