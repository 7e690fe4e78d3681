"""Which side of a normalized cut is the object (MaskCut: Wang et al., 2023, section 3.1)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

CORNERS = 3  # of the grid; a side that holds as many of them is the background
NOT_ACTIVE = -np.inf


def find_foreground(vector: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Cut a graph in two and return the object in it.

    The sides are the patches above and below the mean of the vector. The object's side is that of the patch with the
    largest absolute value, unless that side holds three corners of the grid; then it is the other one. Of this side,
    the object is the part that is connected to its most extreme patch.

    Args:
        vector: (h, w) float64, the second eigenvector on the grid of patches; its sign is of no importance.
        active: (h, w) bool, patches that are in the graph.

    Returns:
        (h, w) bool: the patches of the object; none if all values are the same.
    """
    mean = vector[active].mean() if active.any() else 0.0
    if vector.flat[np.abs(np.where(active, vector, 0)).argmax()] < 0:
        vector, mean = -vector, -mean
    side = active & (vector > mean)
    if side[[0, 0, -1, -1], [0, -1, 0, -1]].sum() >= CORNERS:
        vector = -vector
        side = active & (vector > -mean)
    if not side.any():
        return side
    parts, _ = ndimage.label(side)
    extreme = np.where(side, vector, NOT_ACTIVE).argmax()
    return parts == parts.flat[extreme]  # type: ignore[no-any-return]
