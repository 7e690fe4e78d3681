"""The types of a rendering, and its rounding, which the modules of computed views share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

DrawPhoto = Callable[[Generator], np.ndarray]  # returns another photo, (h', w', 3) uint8


def round_to_bytes(image: np.ndarray) -> np.ndarray:
    """Round and clip pixels to uint8."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
