"""Plain operations: while a model is exported, it keeps to operations that every runtime has, for sizes not known yet.

The faster ways that models have beside them (`vclr.ops.gathered_attention`, `vclr.ops.winograd`) compute the same but
for rounding. They read sizes as numbers, or use operations of torch alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_depth = 0


def is_plain() -> bool:
    """Tell whether computations have to keep to plain operations."""
    return _depth > 0


@contextmanager
def plain_operations() -> Iterator[None]:
    """Keep to plain operations in a block. It holds for all threads of the process."""
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
