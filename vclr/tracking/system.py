"""Load of the machine, under the names that MLflow's own monitor uses."""

from __future__ import annotations

MEGABYTE = 1e6


def sample_system() -> dict[str, float]:
    """Measure processor, memory and GPUs once, in about a millisecond.

    Returns:
        `system/...` metrics. The processor's share is that since the previous call (0 in the first). GPUs are left
        out until the training has started one, so that looking at them never claims memory on a device.
    """
    import psutil

    memory = psutil.virtual_memory()
    return {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / MEGABYTE,
        "system/system_memory_usage_percentage": memory.percent,
        "system/process_memory_megabytes": psutil.Process().memory_info().rss / MEGABYTE,
        **_sample_gpus(),
    }


def _sample_gpus() -> dict[str, float]:
    import torch

    if not torch.cuda.is_initialized():
        return {}
    metrics: dict[str, float] = {}
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        metrics[f"system/gpu_{index}_memory_usage_megabytes"] = (total - free) / MEGABYTE
        metrics[f"system/gpu_{index}_memory_usage_percentage"] = 100 * (total - free) / total
        try:
            metrics[f"system/gpu_{index}_utilization_percentage"] = torch.cuda.utilization(index)
        except (ImportError, RuntimeError):  # needs nvidia-ml-py and a driver that tells
            continue
    return metrics
