"""Corruption: noise that only the student sees, after its view is chosen (docs/method.md, section 3)."""

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
    gray_generators: list[torch.Generator],
    image_generators: list[torch.Generator],
) -> Tensor:
    """Corrupt a normalized batch (b, 3, h, w).

    Args:
        images: normalized with `mean` and `std`.
        image_sizes: (height, width) of each image without its padding.
        config: the corruptions that are on.
        mean: (3, 1, 1), as used for the normalization.
        std: (3, 1, 1), as used for the normalization.
        gray_generators: one per image, on the CPU; decides whether the image turns gray. Images whose generators have
            the same state turn gray together.
        image_generators: one per image, on the CPU, for everything else.
    """
    images = images.clone()
    for image, (height, width), of_gray, generator in zip(
        images, image_sizes, gray_generators, image_generators, strict=True
    ):
        content = image[:, :height, :width]
        if config.mix:
            content.copy_(mix(content, *_draw_mix(height, width, generator)))
        if config.erase:
            content.copy_(erase(content, *_draw_rectangle(height, width, generator)))
        if config.grayscale and _uniform(of_gray) < 0.5:
            image.copy_(grayscale(image, mean, std))
    return images


def mix(image: Tensor, top: int, left: int, ratio: float) -> Tensor:
    """Blend (3, h, w), with weight `ratio`, with a patch of an eighth of its sides, enlarged to the whole image."""
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
    """Replace the colors of normalized images (..., 3, h, w), padding included, with their luminance."""
    weights = upload(LUMINANCE, images.device, images.dtype).view(3, 1, 1)
    gray = ((images * std + mean) * weights).sum(-3, keepdim=True)
    return (gray - mean) / std


def _draw_mix(height: int, width: int, generator: torch.Generator) -> tuple[int, int, float]:
    top = _integer(0, height - height // 8, generator)
    left = _integer(0, width - width // 8, generator)
    return top, left, abs(_uniform(generator) - 0.5) + 0.5


def _draw_rectangle(height: int, width: int, generator: torch.Generator) -> tuple[int, int, int, int]:
    """Draw (top, left, height, width): 2 to 33 % of the area, wide; half the image's sides if it does not fit."""
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
