"""Winograd's convolution: torch's, in another order of sums."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vclr.ops import winograd
from vclr.ops.winograd import conv3x3, winograd_conv3x3


def draw(b: int, c: int, o: int, h: int, w: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (b, c, h, w), (o, c, 3, 3), (o,)
    return [torch.randn(shape, dtype=dtype, generator=generator).requires_grad_() for shape in shapes]


def with_gradients(compute, inputs: list[Tensor]) -> list[Tensor]:
    output = compute(*inputs)
    weight = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    return [output, *torch.autograd.grad((output * weight).sum(), inputs)]


def direct(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return functional.conv2d(features, weight, bias, padding=1)


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (1, 1), (2, 9)])
@pytest.mark.parametrize("chunk", [3, 512])
def test_is_the_convolution(size: tuple[int, int], chunk: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(winograd, "CHUNK", chunk)
    inputs = draw(2, 5, 4, *size)
    for ours, theirs in zip(with_gradients(winograd_conv3x3, inputs), with_gradients(direct, inputs), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_many_channels_take_it_and_are_as_exact():
    """Against float64, the error is of the size of the direct convolution's, which depends on the processor."""
    inputs = draw(1, 256, 256, 12, 16, torch.float32)
    exact = with_gradients(direct, [tensor.detach().double().requires_grad_() for tensor in inputs])
    ours, theirs = with_gradients(conv3x3, inputs), with_gradients(direct, inputs)
    assert not torch.equal(ours[0], theirs[0])
    for one, other, truth in zip(ours, theirs, exact, strict=True):
        assert (one - truth).norm() <= 3 * (other - truth).norm()


@pytest.mark.parametrize("channels", [(255, 256), (256, 255)])
def test_few_channels_do_not(channels: tuple[int, int]):
    inputs = draw(1, *channels, 4, 4, torch.float32)
    assert torch.equal(conv3x3(*inputs), direct(*inputs))


def test_half_precision_does_not():
    inputs = draw(1, 256, 256, 4, 4, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(conv3x3(*inputs), direct(*inputs))
