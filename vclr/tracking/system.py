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
    """Measure all GPUs that are visible here, or if the driver does not tell, those that this process works on."""
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
            # CUDA opens a context on whichever GPU it is asked of, hundreds of megabytes: so of one's own only.
            free, total = torch.cuda.mem_get_info(index)
            used = total - free
        else:
            continue
        metrics[f"system/gpu_{index}_memory_usage_megabytes"] = used / MEGABYTE
        metrics[f"system/gpu_{index}_memory_usage_percentage"] = 100 * used / total
    return metrics
