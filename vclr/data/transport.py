"""How arrays travel from a worker process: through shared memory that is reused."""

from __future__ import annotations

import mmap
import pickle
from dataclasses import dataclass
from typing import Any

ALIGNMENT = 64


@dataclass
class Parcel:
    """What a worker sends in place of a value: how to rebuild it, and where its arrays lie in a slot."""

    pickled: bytes
    slot: int
    places: list[tuple[int, int]]


class SharedSlots:
    """Slots of memory shared with processes that are forked later.

    Sending a tensor allocates new shared memory, and the system clears every page of it, which takes longer than
    filling it. Pages of a slot are cleared once. The memory is not in /dev/shm, which containers keep small.
    """

    def __init__(self, num_slots: int, slot_bytes: int) -> None:
        self.num_slots, self.slot_bytes = num_slots, slot_bytes + -slot_bytes % mmap.PAGESIZE
        # The system provides a page when it is first written, so a slot takes only as much memory as was ever used.
        self._memory = memoryview(mmap.mmap(-1, num_slots * self.slot_bytes))

    def pack(self, value: Any, slot: int) -> Parcel:
        """Copy the arrays of a value into a slot, or into the parcel itself if they do not fit."""
        buffers: list[pickle.PickleBuffer] = []
        pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
        end, places = slot * self.slot_bytes, []
        views = [buffer.raw() for buffer in buffers]
        if sum(view.nbytes + ALIGNMENT for view in views) > self.slot_bytes:
            return Parcel(pickle.dumps(value, protocol=5), slot, [])
        for view in views:
            places.append((end, end + view.nbytes))
            self._memory[end : end + view.nbytes] = view
            end += view.nbytes + -view.nbytes % ALIGNMENT
        return Parcel(pickled, slot, places)

    def unpack(self, parcel: Parcel) -> Any:
        """Return the value. Its arrays lie in the slot; copy those that must outlive it."""
        return pickle.loads(parcel.pickled, buffers=[self._memory[start:end] for start, end in parcel.places])
