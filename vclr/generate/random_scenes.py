"""Random photos and objects, for steps that need no data: their content does not change the arithmetic."""

from __future__ import annotations

import torch
from torch import Tensor

from vclr.structures import Size, Target


def random_photo(size: Size, generator: torch.Generator) -> Tensor:
    """Draw an image (3, h, w) uint8."""
    return torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)


def random_target(size: Size, num_objects: int, generator: torch.Generator) -> Target:
    """Draw objects: boxes of 0.1 to 0.4 of the image's sides, all inside the image, with filled boxes as masks.

    Every second one is an object proposal.
    """
    sides = 0.1 + 0.3 * torch.rand(num_objects, 2, generator=generator)
    centers = sides / 2 + (1 - sides) * torch.rand(num_objects, 2, generator=generator)
    lengths = torch.tensor([size[1], size[0]])
    corners = torch.cat([(centers - sides / 2) * lengths, (centers + sides / 2) * lengths], 1).round().int()
    masks = torch.zeros(num_objects, *size, dtype=torch.uint8)
    for mask, (left, top, right, bottom) in zip(masks, corners.tolist(), strict=True):
        mask[top:bottom, left:right] = 1
    labels = torch.zeros(num_objects, dtype=torch.int64)
    is_proposal = torch.arange(num_objects) % 2 == 1
    return Target(labels, torch.cat([centers, sides], 1), masks, image_id=0, is_proposal=is_proposal)
