"""Maps with a single column, which strided convolutions get wrong."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def widen(features: Tensor) -> Tensor:
    """Add a column of zeros, right, to a map (b, d, h, 1); return any other map as it is.

    A padded convolution of stride 2 gives the same result for both. But for a map with one column in bfloat16 on a CPU,
    oneDNN (in torch 2.13) returns uninitialized memory as the gradient of the weights.
    """
    return functional.pad(features, (0, 1)) if features.shape[3] == 1 else features
