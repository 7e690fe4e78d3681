"""The memory of a pretended GPU: how much of it is in use, and who wrote what last."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

from torch import Tensor

CAPACITY = 80 << 30  # of a GPU, unless a program gives it less
GRANULE = 512  # bytes to which CUDA's caching allocator rounds


@dataclass
class Block:
    """A storage: its size as the allocator counts it, and the stream and the number of the work that wrote it last."""

    size: int
    writer: tuple[int, int] = (0, 0)


class Memory:
    """The storages that are alive.

    Attributes:
        capacity: bytes that there are; with more in use, the next kernel finds no memory.
        live: bytes in use.
        peak: the most that there were since it was set back.
    """

    def __init__(self) -> None:
        self.capacity = CAPACITY
        self.live, self.peak = 0, 0
        self._blocks: dict[int, Block] = {}

    def block(self, host: Tensor) -> Block:
        """Return the block of a tensor's storage, which counts from now until it is freed."""
        storage = host.untyped_storage()
        key = storage._cdata
        if key not in self._blocks:
            block = Block(-(-storage.nbytes() // GRANULE) * GRANULE)
            self._blocks[key] = block
            self.live += block.size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._free, key)
        return self._blocks[key]

    def _free(self, key: int) -> None:
        self.live -= self._blocks.pop(key).size
