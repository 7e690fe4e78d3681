"""Read a number of an export, which may be written as a text."""

from __future__ import annotations

from typing import Any

from vclr.wording import short

LARGEST = 1e9  # far beyond every coordinate, so that sums and products of such numbers stay finite


def to_number(value: Any, name: str) -> float:
    """Return a number, or the one that a text writes.

    Raises:
        ValueError: one line that says which `name` is not a number, or is not finite or huge.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not abs(number) <= LARGEST:
        raise ValueError(f"`{name}` is {short(value)}, not a usable number")
    return number
