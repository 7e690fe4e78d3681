"""A tensor that says `cuda:0` and lies in the memory of the CPU, and the way from one to the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch._ops import OpOverload

CPU = torch.device("cpu")


class GpuTensor(Tensor):
    """A tensor on the pretended GPU.

    Attributes:
        host: its values.
        run: runs an operation, given its arguments and its keyword arguments; the machine's own.
    """

    host: Tensor
    run: ClassVar[Callable[..., Any]]
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls: type[GpuTensor], host: Tensor, device: torch.device) -> GpuTensor:
        layout = {"strides": host.stride(), "storage_offset": host.storage_offset(), "layout": host.layout}
        tensor = Tensor._make_wrapper_subclass(cls, host.size(), dtype=host.dtype, device=device, **layout)
        tensor.host = host
        return tensor

    @classmethod
    def __torch_dispatch__(cls, func: OpOverload, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation outside of the machine's `with` block."""
        return cls.run(func, args, kwargs or {})

    def __repr__(self, **_: Any) -> str:
        return f"GpuTensor({tuple(self.shape)}, {self.dtype}, {self.device})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Save the values, which are read with `map_location="cpu"` or moved to a device afterwards."""
        return self.host.__reduce_ex__(protocol)

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError(f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy it first.")

    def record_stream(self, stream: Any) -> None:
        """Do nothing: memory is not used again before its last reader is done."""


def flatten(values: Iterable[Any]) -> list[Any]:
    """Return the arguments of an operation with those in lists."""
    leaves: list[Any] = []
    for value in values:
        if isinstance(value, (list, tuple)):
            leaves += flatten(value)
        else:
            leaves.append(value)
    return leaves


def change(value: Any, by: Callable[[Any], Any]) -> Any:
    """Return a value, or what is in lists and dictionaries of an operation's, changed by a function."""
    if isinstance(value, (list, tuple)):
        return type(value)([change(item, by) for item in value])
    if isinstance(value, dict):
        return {key: change(item, by) for key, item in value.items()}
    return by(value)


def to_host(value: Any) -> Any:
    """Return what stands for the tensors of the GPU, and for the GPU itself, in the memory of the host."""
    return change(value, _to_host)


def _to_host(value: Any) -> Any:
    if isinstance(value, GpuTensor):
        return value.host
    return CPU if isinstance(value, torch.device) else value
