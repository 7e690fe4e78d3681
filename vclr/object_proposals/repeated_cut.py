"""Several objects per photo: each normalized cut takes one object out of the graph, the next one cuts the rest.

MaskCut (Wang et al., 2023, section 3.1) leaves the patches of earlier objects in the graph, with the weight EPSILON to
all. Here they leave it, so that they cannot be found again, and an object that is too small takes no place of another.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from vclr.object_proposals.exact_product import multiply_exactly
from vclr.object_proposals.foreground import find_foreground
from vclr.object_proposals.normalized_cut import second_eigenvectors

MIN_VALUE = 0.05  # eigenvalue of M below which a cut separates nothing: a random graph has such values
MIN_FRACTION = 0.005  # of the grid; a smaller object is left out
MAX_FRACTION = 0.9  # of the grid; a larger object is the background
MIN_PATCHES = 16  # of a graph that is cut
NEITHER = 1e-3  # distance of a score from 0 and 1


def cut_repeatedly(affine: torch.Tensor, grid: tuple[int, int], rounds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Find the objects of each photo.

    Args:
        affine: (b, n, n) as of `second_eigenvectors`, with the patches in rows of the grid.
        grid: (h, w) with h * w = n.
        rounds: number of cuts, each of which gives one object or none.

    Returns:
        For each photo masks (m, h, w) bool, with m at most `rounds`, in the order of the cuts, and scores (m,)
        float64 in (0, 1).
    """
    active = torch.ones(affine.shape[:2], dtype=torch.bool, device=affine.device)
    found: list[list[np.ndarray]] = [[] for _ in affine]
    for _ in range(rounds):
        vectors, values = second_eigenvectors(affine, active)
        active &= (values >= MIN_VALUE)[:, None]
        for photo, vector in enumerate(vectors.cpu().numpy()):
            rest = active[photo].cpu().numpy().reshape(grid)
            mask = find_foreground(vector.reshape(grid), rest)
            if MIN_FRACTION <= mask.mean() <= MAX_FRACTION:
                found[photo].append(mask)
            active[photo] &= torch.from_numpy(~mask.ravel()).to(active.device)
        active &= active.sum(dim=1, keepdim=True) >= MIN_PATCHES
        if not active.any():
            break
    stacked = [np.array(masks, dtype=bool).reshape(-1, *grid) for masks in found]
    return [(_fill(masks), _score(edges, masks)) for edges, masks in zip(affine, stacked, strict=True)]


def _fill(masks: np.ndarray) -> np.ndarray:
    """Fill the holes of each mask, except for patches of the other masks."""
    filled = [ndimage.binary_fill_holes(mask) for mask in masks]
    others = [masks.any(axis=0) & ~mask for mask in masks]
    return np.array([mask & ~other for mask, other in zip(filled, others, strict=True)], bool).reshape(masks.shape)


def _score(affine: torch.Tensor, masks: np.ndarray) -> np.ndarray:
    """Return in (0, 1) how much the patches of each mask are affine to each other and not to the rest of the photo."""
    members = torch.from_numpy(masks.reshape(len(masks), len(affine))).to(affine.device).double()
    # (m, n): with how many patches of the mask each patch is affine
    shared = multiply_exactly(affine, members.mT).mT if affine.dtype == torch.int8 else members @ affine.double()
    areas = members.sum(dim=1)
    inside = (shared * members).sum(dim=1) / areas.square()
    outside = (shared * (1 - members)).sum(dim=1) / (areas * (members.shape[1] - areas))
    return (inside * (1 - outside)).clamp(NEITHER, 1 - NEITHER).cpu().numpy()  # type: ignore[no-any-return]
