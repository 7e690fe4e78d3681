"""Maps of one column, which strided convolutions get wrong."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def widen(features: Tensor) -> Tensor:
    """Add a column of zeros, right, to a map (b, d, h, 1); return any other map as it is.

    A padded convolution of stride 2 gives the same for both. But in bfloat16 on a CPU, of a map of one column, oneDNN
    (as in torch 2.13) computes a gradient of the weights that is whatever lay in memory.
    """
    return functional.pad(features, (0, 1)) if features.shape[3] == 1 else features
