"""What mixed precision does not do by itself."""

from __future__ import annotations

import torch
from torch import Tensor


def in_compute_precision(values: Tensor) -> Tensor:
    """Return a tensor in the precision that autocast computes in; itself if autocast is off.

    Autocast remembers the cast of a parameter, but casts everything else again at every use.
    """
    device = values.device.type
    return values.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else values
