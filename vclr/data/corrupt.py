"""Corruption: noise that only the student sees, after its view is chosen (METHOD section 3, `image_transform`)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from vclr.config import CorruptConfig
from vclr.ops.constants import upload
from vclr.structures import Size

LUMINANCE = (0.299, 0.587, 0.114)


def corrupt(
    images: Tensor,
    image_sizes: list[Size],
    config: CorruptConfig,
    mean: Tensor,
    std: Tensor,
    batch_generator: torch.Generator,
    image_generators: list[torch.Generator],
) -> Tensor:
    """Corrupt a normalized batch (b, 3, h, w).

    Args:
        images: normalized by `mean` and `std`.
        image_sizes: (height, width) of each image without its padding.
        config: which corruptions are on.
        mean: (3, 1, 1) of the normalization.
        std: (3, 1, 1) of the normalization.
        batch_generator: on the CPU; says whether the batch turns gray.
        image_generators: on the CPU; for all that is drawn for each image.
    """
    images = images.clone()
    for image, (height, width), generator in zip(images, image_sizes, image_generators, strict=True):
        content = image[:, :height, :width]
        if config.mix:
            content.copy_(mix(content, *_draw_mix(height, width, generator)))
        if config.erase:
            content.copy_(erase(content, *_draw_rectangle(height, width, generator)))
    if config.grayscale and _uniform(batch_generator) < 0.5:
        images = grayscale(images, mean, std)
    return images


def mix(image: Tensor, top: int, left: int, ratio: float) -> Tensor:
    """Blend (3, h, w), by the share `ratio`, with its own patch of an eighth of the sides, enlarged to the whole."""
    _, height, width = image.shape
    patch = image[None, :, top : top + max(1, height // 8), left : left + max(1, width // 8)]
    patch = functional.interpolate(patch, size=(height, width), mode="bilinear", align_corners=False)[0]
    return image * ratio + patch * (1 - ratio)


def erase(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """Set a rectangle of (3, h, w) to the mean color."""
    image = image.clone()
    image[:, top : top + height, left : left + width] = 0
    return image


def grayscale(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Replace the colors of a normalized batch by their luminance; padding too."""
    weights = upload(LUMINANCE, images.device, images.dtype).view(3, 1, 1)
    gray = ((images * std + mean) * weights).sum(1, keepdim=True)
    return (gray - mean) / std


def _draw_mix(height: int, width: int, generator: torch.Generator) -> tuple[int, int, float]:
    top = _integer(0, height - height // 8, generator)
    left = _integer(0, width - width // 8, generator)
    return top, left, abs(_uniform(generator) - 0.5) + 0.5


def _draw_rectangle(height: int, width: int, generator: torch.Generator) -> tuple[int, int, int, int]:
    """Draw (top, left, height, width): 2 to 33 % of the area, wide; half the image's sides where it does not fit."""
    area = height * width * (0.02 + _uniform(generator) * (1 / 3 - 0.02))
    aspect = math.exp(math.log(0.3) + _uniform(generator) * (math.log(0.7) - math.log(0.3)))
    box_height, box_width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
    if box_height >= height or box_width >= width:
        box_height, box_width = height // 2, width // 2
    top = _integer(0, height - box_height + 1, generator)
    left = _integer(0, width - box_width + 1, generator)
    return top, left, box_height, box_width


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))


def _integer(low: int, high: int, generator: torch.Generator) -> int:
    """Draw from low to high - 1."""
    return int(torch.randint(low, max(high, low + 1), (), generator=generator))
