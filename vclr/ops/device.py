"""Which device a run is on, and in which precision."""

from __future__ import annotations

import torch

from vclr.errors import UsageError


def choose_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` is CUDA where there is one.

    Raises:
        UsageError: torch knows no such device or this machine has none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise UsageError(f"train.device={name}: {str(error).splitlines()[0]}") from None


def autocast(dtype: str, device: torch.device) -> torch.autocast:
    """Return the mixed-precision context of a dtype, `bfloat16` or `float16`; `float32` is none."""
    enabled = dtype != "float32"
    return torch.autocast(device.type, getattr(torch, dtype) if enabled else None, enabled=enabled)
