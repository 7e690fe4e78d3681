"""Batches: samples of different sizes, padded to one tensor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vclr.data.samples import Sample
from vclr.structures import Batch, Size, Target, padded_size


def collate(samples: list[Sample], pin_memory: bool = False) -> Batch:
    """Pad samples to one batch; `pin_memory` puts it where a GPU can copy it without waiting."""
    images, image_sizes = pad_images([sample.image for sample in samples], pin_memory)
    if all(sample.image is sample.teacher_image for sample in samples):
        teacher_images = images
    else:
        teacher_images, _ = pad_images([sample.teacher_image for sample in samples], pin_memory)
    targets = [sample.target for sample in samples]
    if pin_memory:
        targets = [target.pin_memory() for target in targets]
    return Batch(
        images,
        teacher_images,
        image_sizes,
        targets,
        [sample.view for sample in samples],
        [sample.missing_view for sample in samples],
        [sample.teacher_view for sample in samples],
        [sample.teacher_missing_view for sample in samples],
    )


def pad_images(images: list[Tensor], pin_memory: bool = False) -> tuple[Tensor, list[Size]]:
    """Pad (3, h, w) uint8 images bottom and right to the largest height and width.

    Returns:
        (b, 3, h, w) uint8, and the (height, width) of each image without padding.
    """
    sizes = [(image.shape[1], image.shape[2]) for image in images]
    shape = len(images), 3, *padded_size(sizes)
    if pin_memory:
        batch = torch.zeros(shape, dtype=torch.uint8, pin_memory=True)
    else:
        batch = torch.from_numpy(np.zeros(shape, np.uint8))  # numpy asks for huge pages, torch does not
    # numpy copies in this thread alone, which may run beside the training: torch's threads would get in its way.
    for slot, image, (height, width) in zip(batch.numpy(), images, sizes, strict=True):
        slot[:, :height, :width] = image.numpy()
    return batch, sizes


def pad_masks(target: Target, size: Size) -> Target:
    """Return a target whose masks are padded with zeros, bottom and right."""
    masks = target.masks.new_zeros((len(target), *size))
    masks[:, : target.masks.shape[1], : target.masks.shape[2]] = target.masks
    return replace(target, masks=masks)
