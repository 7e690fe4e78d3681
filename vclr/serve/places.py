"""A limited number of places, so that memory does not grow with the number of visitors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class FullError(Exception):
    """Report that all places are taken; the message says so to the visitor."""


class Places:
    """Places that are taken for the time of a block. They belong to one thread, that of the event loop.

    Args:
        number: how many there are.
        complaint: the sentence for whoever gets none.
    """

    def __init__(self, number: int, complaint: str) -> None:
        self._number, self._complaint, self._num_taken = number, complaint, 0

    def check(self) -> None:
        """Refuse early, without taking a place.

        Raises:
            FullError: none is free.
        """
        if self._num_taken >= self._number:
            raise FullError(self._complaint)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place in the block.

        Raises:
            FullError: none is free.
        """
        self.check()
        self._num_taken += 1
        try:
            yield
        finally:
            self._num_taken -= 1
