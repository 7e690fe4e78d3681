"""Maps of one or two columns, which strided convolutions get wrong."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from vclr.ops.plain import is_plain

MIN_COLUMNS = 3


def convolve_strided(convolve: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
    """Apply a padded convolution of stride 2 to a map (b, d, h, w), with columns of zeros added if it has few.

    The result (b, d', h', ceil(w / 2)) is the same. But for a map of one or two columns in bfloat16 on a CPU, oneDNN
    (in torch 2.13) returns uninitialized memory: with AMX as the result, without as the gradient of the weights.
    """
    columns = features.shape[3]
    if is_plain() or columns >= MIN_COLUMNS:
        return convolve(features)
    return convolve(functional.pad(features, (0, MIN_COLUMNS - columns)))[..., : (columns + 1) // 2]
