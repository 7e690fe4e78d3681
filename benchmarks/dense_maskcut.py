"""MaskCut in the most obvious way: a dense eigen-decomposition for each cut of each photo."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from scipy import ndimage

TAU, EPSILON = 0.15, 1e-5


def cut_densely(features: np.ndarray, side: int, rounds: int) -> list[np.ndarray]:
    """Return the object of each cut of one photo, (side, side) bool, from its (side * side, d) features.

    Holes of an object are filled, except where another object is.
    """
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    weights = np.where(unit @ unit.T > TAU, 1.0, EPSILON)
    rest = np.arange(len(unit))
    objects = []
    for _ in range(rounds):
        own = weights[np.ix_(rest, rest)]
        degrees = own.sum(axis=1)
        # (D - W) x = cost D x with z = D^1/2 x; LAPACK finds the second smallest of all costs.
        root = np.sqrt(degrees)
        laplacian = np.eye(len(rest)) - own / np.outer(root, root)
        _, vector = scipy.linalg.eigh(laplacian, subset_by_index=[1, 1], overwrite_a=True, check_finite=False)
        x = vector[:, 0] / root
        x *= np.sign(x[np.abs(x).argmax()])
        if _is_background(x, rest, side):
            x = -x
        in_front = np.zeros(side * side, bool)
        in_front[rest] = x > x.mean()
        labels, _ = ndimage.label(in_front.reshape(side, side))
        found = labels == labels.ravel()[rest[x.argmax()]]
        objects.append(found)
        rest = rest[~found.ravel()[rest]]
    taken = np.any(objects, axis=0)
    return [ndimage.binary_fill_holes(found) & (found | ~taken) for found in objects]


def _is_background(x: np.ndarray, rest: np.ndarray, side: int) -> bool:
    in_front = np.zeros(side * side, bool)
    in_front[rest] = x > x.mean()
    grid = in_front.reshape(side, side)
    return int(grid[0, 0]) + int(grid[0, -1]) + int(grid[-1, 0]) + int(grid[-1, -1]) >= 3
