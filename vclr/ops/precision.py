"""What mixed precision does not do by itself."""

from __future__ import annotations

import torch
from torch import Tensor


def in_compute_precision(*weights: Tensor) -> list[Tensor]:
    """Return weights in the precision that autocast computes in; themselves where it is off.

    Autocast remembers the cast of a parameter, but casts what was computed from parameters again at every use.
    """
    device = weights[0].device.type
    if not torch.is_autocast_enabled(device):
        return list(weights)
    return [weight.to(torch.get_autocast_dtype(device)) for weight in weights]
