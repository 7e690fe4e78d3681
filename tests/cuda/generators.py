"""Random generators of a pretended GPU: those of the CPU, which know what they are for."""

from __future__ import annotations

import weakref
from typing import Any

import torch

# By the address of what torch's C++ code holds: it hands operations another Python object.
_on_gpu: set[int] = set()


class Generator(torch._C.Generator):
    """As torch.Generator, for the device that it is asked for."""

    def __new__(cls, device: Any = "cpu") -> Generator:
        generator = super().__new__(cls)
        if torch.device(device).type == "cuda":
            _on_gpu.add(generator._cdata)
            weakref.finalize(generator, _on_gpu.discard, generator._cdata)
        return generator

    @property
    def device(self) -> torch.device:
        return torch.device(device_type(self), 0 if device_type(self) == "cuda" else None)


def device_type(generator: torch._C.Generator) -> str:
    """Return the type of the device that a generator is for."""
    return "cuda" if generator._cdata in _on_gpu else "cpu"
