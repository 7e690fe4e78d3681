"""Tensors that the host knows in advance: copied to a device without waiting, and made once if sizes repeat."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from vclr.ops.plain import is_plain

Function = TypeVar("Function", bound=Callable[..., Any])

# Number of recent sizes to keep: student and teacher share them, and some return soon. Each takes up to a megabyte.
MAX_SIZES = 16

_caches: list[Callable[[], None]] = []


def upload(values: Any, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Return a tensor of numbers that the host knows, without host and device waiting for each other.

    `torch.tensor(values, device=device)` copies from memory that a GPU cannot read by itself, so the host would wait
    until the GPU has finished all earlier work.

    Args:
        values: numbers, nested lists of numbers, or an array.
        device: the device of the tensor.
        dtype: the type of the tensor (default: the one that numpy and torch choose for the values).
    """
    if is_plain() and not isinstance(values, (np.ndarray, Tensor)):
        return _join_symbols(values, device, dtype)
    tensor = torch.as_tensor(values if isinstance(values, (np.ndarray, Tensor)) else np.array(values), dtype=dtype)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type == "cuda")


def _join_symbols(values: Any, device: torch.device, dtype: torch.dtype | None) -> Tensor:
    """Return a tensor of numbers, and of sizes that are symbols while a model is exported."""
    if isinstance(values, (list, tuple)):
        return torch.stack([_join_symbols(value, device, dtype) for value in values])
    is_float = isinstance(values, (float, torch.SymFloat))
    return torch.scalar_tensor(values, dtype=dtype or (torch.float64 if is_float else torch.int64), device=device)


def constant(make: Function) -> Function:
    """Decorate a function whose tensors depend on sizes alone, so that it makes them once per size.

    Arguments must be hashable and include device and dtype. Callers must not change the result.
    """

    @functools.lru_cache(MAX_SIZES)
    @functools.wraps(make)
    def once(*arguments: Any) -> Any:
        # The first caller may be in inference mode, whose tensors could not be used outside it.
        with torch.inference_mode(False), torch.no_grad():
            return make(*arguments)

    @functools.wraps(make)
    def made(*arguments: Any) -> Any:
        # An exported model makes them itself: sizes may be symbols, and tensors without numbers must not be kept.
        return make(*arguments) if is_plain() else once(*arguments)

    _caches.append(once.cache_clear)
    return cast(Function, made)


def forget_constants() -> None:
    """Release the memory of everything that `constant` has kept."""
    for clear in _caches:
        clear()
