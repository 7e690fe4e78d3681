"""Tensors that the host knows beforehand: copied to a device without waiting for it, and made once if sizes repeat."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])

# Of the last so many sizes: student and teacher share them, and some come again soon. A large map's take a megabyte.
MAX_SIZES = 16

_caches: list[Callable[[], None]] = []


def upload(values: Any, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Return a tensor of numbers that the host knows; neither waits for the other.

    `torch.tensor(values, device=device)` copies from memory that a GPU cannot read by itself, so the host waits there
    until the GPU has done all that it was given before.

    Args:
        values: numbers, nested lists of numbers, or an array.
        device: where they are needed.
        dtype: of the tensor; by default what numpy and torch make of the values.
    """
    tensor = torch.as_tensor(values if isinstance(values, (np.ndarray, Tensor)) else np.array(values), dtype=dtype)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=device.type == "cuda")


def constant(make: Function) -> Function:
    """Decorate a function that makes tensors of sizes alone, so that it makes them once for each size.

    Arguments are hashable and say everything, device and dtype included. Nobody changes what is returned.
    """

    @functools.lru_cache(MAX_SIZES)
    @functools.wraps(make)
    def made(*arguments: Any) -> Any:
        # As the first caller may be in a mode whose tensors nobody can use outside of it.
        with torch.inference_mode(False), torch.no_grad():
            return make(*arguments)

    _caches.append(made.cache_clear)
    return cast(Function, made)


def forget_constants() -> None:
    """Give back the memory of all that `constant` has kept."""
    for clear in _caches:
        clear()
