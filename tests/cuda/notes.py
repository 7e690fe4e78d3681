"""What a pretended GPU notes: when the host waits for it, what it is given to do, and which line asked for that."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import vclr

PACKAGE = str(Path(vclr.__file__).parent) + "/"


def place() -> str:
    """Return the innermost line of the package that is running, as in `losses/matcher.py:30`.

    `torch` where none is, as in a backward pass on a thread of the autograd engine.
    """
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            return f"{frame.f_code.co_filename.removeprefix(PACKAGE)}:{frame.f_lineno}"
        frame = frame.f_back
    return "torch"


@dataclass
class Notes:
    """Counts by place, since the notes were taken last.

    Attributes:
        waits: how often the host waited until the GPU had done all that it was given, with the operation.
        pageable: copies to the GPU that do not wait, of little memory that is not pinned: staged by the driver.
        races: what was used before it was there. Always a defect.
        tf32: products and convolutions of float32 that CUDA may compute with ten bits of precision.
        mixes: operations on tensors of several devices, or with a generator of another one. Always a defect.
        kernels: what the GPU was given to compute; views are none.
        by_operation: the same kernels by operation.
    """

    waits: Counter[str] = field(default_factory=Counter)
    pageable: Counter[str] = field(default_factory=Counter)
    races: Counter[str] = field(default_factory=Counter)
    tf32: Counter[str] = field(default_factory=Counter)
    mixes: Counter[str] = field(default_factory=Counter)
    kernels: Counter[str] = field(default_factory=Counter)
    by_operation: Counter[str] = field(default_factory=Counter)

    def take(self) -> dict[str, dict[str, int]]:
        """Return everything, most frequent first, and forget it."""
        taken = {name: dict(counter.most_common()) for name, counter in vars(self).items()}
        for counter in vars(self).values():
            counter.clear()
        return taken
