"""Deformable attention: agreement with a loop over its definition, and with numerical gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vclr.ops.deformable_attention import BACKENDS, deformable_attention

SHAPES = [(4, 3), (2, 2), (1, 1)]


def draw_inputs(b: int = 2, q: int = 3, m: int = 2, d: int = 2, p: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Values, locations (some outside the image) and weights."""
    generator = torch.Generator().manual_seed(0)
    num_positions = sum(height * width for height, width in SHAPES)
    value = torch.randn(b, num_positions, m, d, generator=generator, dtype=torch.float64)
    locations = torch.rand(b, q, m, len(SHAPES), p, 2, generator=generator, dtype=torch.float64) * 1.6 - 0.3
    weights = torch.rand(b, q, m, len(SHAPES), p, generator=generator, dtype=torch.float64)
    return value, locations, weights


def read_bilinear(level: Tensor, x: float, y: float) -> Tensor:
    """Read (h, w, d) at pixel coordinates whose whole numbers are pixel centers; zero outside."""
    height, width, _ = level.shape
    total = torch.zeros_like(level[0, 0])
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            if 0 <= row < height and 0 <= column < width:
                total += (1 - abs(y - row)) * (1 - abs(x - column)) * level[row, column]
    return total


def attend_one_by_one(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    b, q, m, num_levels, p, _ = locations.shape
    out = torch.zeros(b, q, m, value.shape[-1], dtype=value.dtype)
    levels = value.split([height * width for height, width in SHAPES], dim=1)
    for image, query, head, level, point in torch.cartesian_prod(*map(torch.arange, (b, q, m, num_levels, p))).tolist():
        height, width = SHAPES[level]
        x, y = locations[image, query, head, level, point].tolist()
        level_map = levels[level][image, :, head].reshape(height, width, -1)
        read = read_bilinear(level_map, x * width - 0.5, y * height - 0.5)
        out[image, query, head] += weights[image, query, head, level, point] * read
    return out.flatten(2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_agrees_with_the_definition(backend: str):
    inputs = draw_inputs()
    computed = deformable_attention(inputs[0], SHAPES, *inputs[1:], backend)
    torch.testing.assert_close(computed, attend_one_by_one(*inputs))


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_agree_with_differences(backend: str):
    inputs = [tensor.requires_grad_() for tensor in draw_inputs(b=1, q=2)]
    assert torch.autograd.gradcheck(lambda value, *rest: deformable_attention(value, SHAPES, *rest, backend), inputs)


@pytest.mark.parametrize("spread", [1.0, 4.0])
def test_backends_agree(spread: float):
    """Also far outside, where nothing is read and nothing pulls."""
    results = []
    for backend in BACKENDS:
        value, locations, weights = (tensor.requires_grad_() for tensor in draw_inputs(b=3, q=40, m=3, d=5, p=4))
        spread_out = (locations - 0.5) * spread + 0.5
        attended = deformable_attention(value, SHAPES, spread_out, weights, backend)
        attended.square().sum().backward()
        results.append([attended, value.grad, locations.grad, weights.grad])
    for first, *others in zip(*results, strict=True):
        for other in others:
            torch.testing.assert_close(first, other)


def test_locations_that_are_not_finite_show():
    """A diverged training must end with a word about its losses, not in the middle of the model."""
    value, locations, weights = draw_inputs()
    locations[0, 1] = float("nan")
    attended = deformable_attention(value, SHAPES, locations, weights, "gather")
    assert attended[0, 1].isnan().all()
    assert attended[1].isfinite().all()


def test_images_of_a_batch_do_not_touch():
    value, locations, weights = draw_inputs()
    together = deformable_attention(value, SHAPES, locations, weights)
    alone = deformable_attention(value[1:], SHAPES, locations[1:], weights[1:])
    torch.testing.assert_close(together[1:], alone)


def test_half_precision_values_are_read_at_exact_locations():
    value, locations, weights = draw_inputs()
    exact = deformable_attention(value, SHAPES, locations, weights)
    half = deformable_attention(value.bfloat16(), SHAPES, locations.float(), weights.float())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.double(), exact, rtol=0.01, atol=0.02)
