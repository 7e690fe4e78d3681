"""Pickles of NumPy arrays (detectron2's `.pkl` weights), read without executing anything that they name."""

from __future__ import annotations

import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# Numbers only: an array of objects could contain anything.
NUMERIC = re.compile(r"[fiub][1248]")


class _DType:
    """Stand-in for numpy.dtype: remembers the code and the byte order that the pickle gives."""

    def __init__(self, code: str, *_: Any) -> None:
        if not isinstance(code, str) or not NUMERIC.fullmatch(code):
            raise pickle.UnpicklingError(f"holds an array of {code!r}, not of numbers")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stand-in for numpy.ndarray until its numbers are there."""

    def __init__(self, *_: Any) -> None:
        self.values: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, is_fortran, content = state
        self.values = _make_array(content, dtype, shape, "F" if is_fortran else "C")


def _make_array(content: Any, dtype: Any, shape: Any, order: Any = "C") -> np.ndarray:
    if isinstance(content, str):  # bytes of a Python 2 pickle
        content = content.encode("latin1")
    if not isinstance(content, (bytes, bytearray)) or not isinstance(dtype, _DType):
        raise pickle.UnpicklingError("holds an array whose content is not bytes")
    return np.frombuffer(content, dtype.dtype).reshape(shape, order=order).copy()


def _make_scalar(dtype: Any, content: Any) -> np.ndarray:
    return _make_array(content, dtype, ())


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encodes bytes as {encoding}")
    return text.encode("latin1")


# NumPy 2 moved its internals from `numpy.core` to `numpy._core`.
_STAND_INS: dict[str, Callable[..., Any]] = {
    "numpy.ndarray": _Array,
    "numpy.dtype": _DType,
    **{f"numpy.{core}.multiarray._reconstruct": _Array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _make_scalar for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": _make_array for core in ("core", "_core")},
    "_codecs.encode": _encode,
    "__builtin__.bytes": lambda: b"",  # the content of an empty array in a Python 2 pickle
    "collections.OrderedDict": OrderedDict,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Look a name up among the few that arrays need."""
        stand_in = _STAND_INS.get(f"{module}.{name}")
        if stand_in is None:
            raise pickle.UnpicklingError(f"holds {module}.{name}, which is not an array; nothing in it was executed")
        return stand_in


def load_array_pickle(path: str | Path) -> Any:
    """Read a pickle of dictionaries, lists, plain values and NumPy arrays.

    Raises:
        pickle.UnpicklingError: it contains anything else.
        Exception: whatever a damaged file makes the unpickler raise.
    """
    with open(path, "rb") as file:
        return _plain(_Unpickler(file, encoding="latin1").load())


def _plain(value: Any) -> Any:
    """Replace the stand-ins with their arrays."""
    if isinstance(value, _Array):
        return value.values
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
