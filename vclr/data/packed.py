"""A list whose entries lie in one array of bytes, so that worker processes share it instead of copying it."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar, overload

import numpy as np

T = TypeVar("T")


class PackedList(Sequence[T], Generic[T]):
    """Entries that are pickled once and unpickled at each access.

    A forked process shares its parent's memory until either writes to it, and merely looking at a Python object writes
    its reference count: a list of dictionaries is copied, page by page, into every worker that reads it. Nothing is
    written into the bytes here.
    """

    def __init__(self, entries: Iterable[T]) -> None:
        pickled = [pickle.dumps(entry, protocol=pickle.HIGHEST_PROTOCOL) for entry in entries]
        self._ends = np.cumsum([len(entry) for entry in pickled], dtype=np.int64)
        self._bytes = np.frombuffer(b"".join(pickled), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        """Return the entry at `index`, unpickled."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]  # raises IndexError as a list does, which ends a loop
        start = self._ends[place - 1] if place else 0
        entry: T = pickle.loads(self._bytes[start : self._ends[place]].data)
        return entry

    @property
    def num_bytes(self) -> int:
        """The memory of the entries, in bytes."""
        return self._bytes.nbytes + self._ends.nbytes
