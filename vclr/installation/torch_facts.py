"""Print what torch can do here, as json: `vclr doctor` runs this as a process of its own, which may crash or hang."""

from __future__ import annotations

import importlib
import json
import time
from typing import Any

# Compiled packages whose import fails if a library of the system is missing or their builds do not fit.
COMPILED = (
    "numpy",
    "scipy.sparse",
    "PIL.Image",
    "shapely",
    "pycocotools.mask",
    "skimage.measure",
    "matplotlib",
    "msgspec",
)


def collect() -> dict[str, Any]:
    """Import torch, compute with it on each device, and describe what happened.

    Returns:
        version, cuda and hip (what torch is built for), threads, capability of the CPU, seconds (of the import); gpus:
        for each GPU its name, memory in bytes, and an error or an empty string; driver; mps; no_gpu (the reason);
        broken: for each compiled package that cannot be imported, why.
    """
    broken = {}
    for module in COMPILED:
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken package may raise anything
            broken[module.partition(".")[0]] = f"{type(error).__name__}: {error}"
    started = time.monotonic()
    import torch

    from vclr.device import has_amx, is_built_for_gpus, no_cuda
    from vclr.nvml import driver_version

    facts: dict[str, Any] = {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "seconds": time.monotonic() - started,
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "amx": has_amx(),
        "driver": driver_version(),
        "mps": torch.backends.mps.is_available(),
        "built_for_gpus": is_built_for_gpus(),
        "broken": broken,
    }
    facts["wrong"] = compute("cpu")
    facts["gpus"] = [describe_gpu(index) for index in range(torch.cuda.device_count())]
    facts["no_gpu"] = "" if torch.cuda.is_available() else no_cuda()
    return facts


def compute(device: str) -> str:
    """Multiply, convolve and differentiate on a device; return what is wrong, or an empty string."""
    import torch

    try:
        ones = torch.ones(64, 64, device=device)
        weight = torch.ones(4, 1, 3, 3, device=device, requires_grad=True)
        total = (ones @ ones).sum() + torch.nn.functional.conv2d(ones[None, None], weight).sum()
        total.backward()
        expected = 64**3 + 4 * 62 * 62 * 9
        if total.item() != expected or weight.grad is None or weight.grad[0, 0, 0, 0].item() != 62 * 62:
            return f"a sum that is {expected} comes out as {total.item():.0f}"
    except RuntimeError as error:
        return str(error).strip().splitlines()[0]
    return ""


def describe_gpu(index: int) -> dict[str, Any]:
    """Describe a GPU, and compute on it."""
    import torch

    try:
        properties = torch.cuda.get_device_properties(index)
    except (RuntimeError, AssertionError) as error:
        return {"name": f"cuda:{index}", "memory": 0, "wrong": str(error).strip().splitlines()[0]}
    return {"name": properties.name, "memory": properties.total_memory, "wrong": compute(f"cuda:{index}")}


if __name__ == "__main__":
    print(json.dumps(collect()))
