"""Noise on objects, which the decoder learns to remove: contrastive denoising (docs/method.md, section 4)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vclr.config import ModelConfig
from vclr.ops.boxes import cxcywh_to_xyxy, xyxy_to_cxcywh
from vclr.ops.constants import upload
from vclr.structures import NoisyObjects, Target


def draw_noisy_objects(
    targets: list[Target], num_places: int, config: ModelConfig, generators: list[torch.Generator]
) -> NoisyObjects:
    """Draw the noisy objects of a batch.

    Args:
        targets: the objects of each image.
        num_places: the largest number of objects of an image, in the batch of all processes: the number of groups
            depends on it.
        config: the number of copies and their noise.
        generators: one per image, on the CPU.
    """
    num_groups = count_groups(config.dn_number, num_places)
    labels, boxes = [], []
    for target, generator in zip(targets, generators, strict=True):
        device, num_empty = target.boxes.device, num_places - len(target)
        shifts = draw_shifts(num_groups, len(target), generator) * config.box_noise_scale
        random = _draw_labels(num_groups, len(target), config, generator)
        moved = move_corners(target.boxes, upload(shifts, device))
        relabeled = upload(random, device)
        relabeled = torch.where(relabeled < 0, target.labels, relabeled)
        boxes.append(functional.pad(moved, (0, 0, 0, num_empty), value=0.5))
        labels.append(functional.pad(relabeled, (0, num_empty), value=-1))
    return NoisyObjects(torch.stack(labels), torch.stack(boxes))


def count_groups(dn_number: int, num_places: int) -> int:
    """Return how many copies of all objects there are: about `dn_number` places in all, but at least one copy."""
    return max(1, dn_number // max(1, num_places))


def draw_shifts(num_groups: int, num_objects: int, generator: torch.Generator) -> Tensor:
    """Draw how far corners move (g, 2, n, 4), in halves of the box's sides: up to 1 in the first half, 1 to 2 after it.

    Each coordinate of the corners xyxy moves by itself, in either direction.
    """
    shape = (num_groups, 2, num_objects, 4)
    sizes = torch.rand(shape, generator=generator)
    sizes[:, 1] += 1.0
    return sizes * (torch.randint(2, shape, generator=generator) * 2 - 1)


def _draw_labels(num_groups: int, num_objects: int, config: ModelConfig, generator: torch.Generator) -> Tensor:
    """Draw new labels (g, 2, n) for half of `label_noise_ratio` of the objects; -1 for those that keep theirs."""
    shape = (num_groups, 2, num_objects)
    is_kept = torch.rand(shape, generator=generator) >= config.label_noise_ratio * 0.5
    return torch.randint(config.num_classes, shape, generator=generator).masked_fill(is_kept, -1)


def move_corners(boxes: Tensor, shifts: Tensor) -> Tensor:
    """Move the corners of boxes (n, 4) by shifts (..., n, 4) in halves of their sides, but not out of the image.

    Boxes are cxcywh normalized, shifts in the order xyxy; a corner that passes the other one gives a negative side.
    """
    halves = boxes[:, 2:].repeat(1, 2) / 2
    return xyxy_to_cxcywh((cxcywh_to_xyxy(boxes) + shifts * halves).clamp(0, 1))
