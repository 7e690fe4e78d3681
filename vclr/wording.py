"""Parts of messages: values that are not too long, and numbers of things."""

from __future__ import annotations

import reprlib
from typing import Any

_values = reprlib.Repr()
_values.maxlong = _values.maxother = 40  # characters; nobody reads a number of 400 digits
_values.maxstring = 60


def short(value: Any) -> str:
    """Return a value as `repr` does, but leave out the middle of long numbers and texts."""
    return _values.repr(value)


def short_id(value: Any) -> str:
    """Return an id: a number as `short` does, a text as it is."""
    return value if isinstance(value, str) else short(value)


def count_of(number: int, one: str, several: str = "") -> str:
    """Return a number of things in words: `1 crowd`, `2 crowds`."""
    return f"{number} {one if number == 1 else several or f'{one}s'}"
