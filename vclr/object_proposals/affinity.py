"""Which patches of a photo are affine: by their features, or by their features and their depth."""

from __future__ import annotations

import torch
from torch.nn import functional

TAU = 0.15  # cosine similarity above which patches are affine (Wang et al., 2023, section 3.1)
REACH = 0.5  # difference in depth, as a share of the photo's range, at which patches are never affine


def find_affine(features: torch.Tensor, tau: float = TAU, depth: torch.Tensor | None = None) -> torch.Tensor:
    """Compare all patches of each photo.

    The similarity is the cosine of the features, computed in their precision. With depth, it is multiplied by
    1 - |difference in depth| / REACH, but at least 0: patches that look alike but are not at the same distance are
    not affine.

    Args:
        features: (b, n, d).
        tau: the least similarity of affine patches.
        depth: (b, n) in [0, 1].

    Returns:
        (b, n, n), 1 where patches are affine, else 0: int8 on a CPU, float32 elsewhere (see `second_eigenvectors`).
    """
    unit = functional.normalize(features.float(), dim=2).to(features.dtype)
    if features.device.type != "cpu":
        return _compare(unit, tau, depth).float()
    # One product for each photo: the same bits, whatever is beside it.
    depths = [None] * len(unit) if depth is None else list(depth.split(1))
    each = [_compare(one, tau, near) for one, near in zip(unit.split(1), depths, strict=True)]
    return torch.cat(each).view(torch.int8)


def _compare(unit: torch.Tensor, tau: float, depth: torch.Tensor | None) -> torch.Tensor:
    similarity = unit @ unit.mT
    if depth is not None:
        difference = (depth[:, :, None] - depth[:, None, :]).abs()
        similarity = similarity * (1 - difference / REACH).clamp(min=0).to(similarity.dtype)
    affine = similarity > tau
    affine.diagonal(dim1=1, dim2=2).fill_(True)  # noqa: FBT003
    return affine
