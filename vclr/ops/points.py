"""Points of a mask: read a map at points, and choose points where a prediction is uncertain (PointRend)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

# Masks whose candidates are drawn at once: candidates are three times as many as points and take the most memory.
MASKS_AT_ONCE = 256


def sample_at_points(maps: Tensor, points: Tensor) -> Tensor:
    """Read maps (n, h, w) at points (n, p, 2): (n, p), bilinear, zero outside, pixel centers at half integers.

    Points are (x, y), normalized to [0, 1] over the map.
    """
    grid = 2.0 * points[:, :, None] - 1.0
    return functional.grid_sample(maps[:, None], grid, align_corners=False)[:, 0, :, 0]


@torch.no_grad()
def draw_uncertain_points(
    logits: Tensor,
    num_points: int,
    oversample_ratio: float,
    importance_sample_ratio: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw points, most of them where the mask logits are nearest to zero (Kirillov et al., CVPR 2020, section 3.1).

    Args:
        logits: (n, h, w) mask logits.
        num_points: points per mask.
        oversample_ratio: uniform candidates per point.
        importance_sample_ratio: share of the points taken from the candidates, the rest is uniform.
        generator: on the device of the logits (default: torch's global one).

    Returns:
        (n, num_points, 2) as (x, y), normalized to [0, 1].
    """
    num_uncertain = int(importance_sample_ratio * num_points)
    num_candidates = int(num_points * oversample_ratio)
    drawn = []
    for part in logits.split(MASKS_AT_ONCE):
        candidates = torch.rand(len(part), num_candidates, 2, device=part.device, generator=generator)
        uncertainty = -sample_at_points(part.float(), candidates).abs()
        chosen = uncertainty.topk(num_uncertain, dim=1).indices
        uncertain = candidates.gather(1, chosen[..., None].expand(-1, -1, 2))
        uniform = torch.rand(len(part), num_points - num_uncertain, 2, device=part.device, generator=generator)
        drawn.append(torch.cat([uncertain, uniform], dim=1))
    return torch.cat(drawn)
