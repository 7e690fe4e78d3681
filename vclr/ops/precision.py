"""Casts that mixed precision does not do by itself."""

from __future__ import annotations

import torch
from torch import Tensor


def in_compute_precision(values: Tensor) -> Tensor:
    """Return a tensor in autocast's precision, or the tensor itself if autocast is off.

    Autocast caches the cast of a parameter, but casts everything else again at every use.
    """
    device = values.device.type
    return values.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else values
