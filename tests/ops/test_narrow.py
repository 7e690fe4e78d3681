"""Maps of few columns: strided convolutions and the gradient of their weights are right in bfloat16 too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vclr.ops.narrow import convolve_strided


@pytest.mark.parametrize("kernel", [1, 3, 7])
@pytest.mark.parametrize("height", [1, 8])
@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("channels", [3, 32])
def test_strided_convolution_of_few_columns(kernel: int, height: int, columns: int, channels: int):
    features, weight = torch.randn(1, channels, height, columns), torch.randn(64, channels, kernel, kernel) * 0.1
    exact, near = (
        [value.detach().to(dtype).requires_grad_() for value in (features, weight)]
        for dtype in (torch.float32, torch.bfloat16)
    )
    del features, weight
    [torch.full((number,), torch.nan) for number in (64, 500, 4000)]  # what uninitialized memory may hold

    def convolve(one: Tensor, weight: Tensor) -> Tensor:
        return functional.conv2d(one, weight, stride=2, padding=kernel // 2)

    results = [convolve(*exact), convolve_strided(lambda one: convolve(one, near[1]), near[0])]
    torch.testing.assert_close(results[1].float(), results[0], rtol=0.05, atol=0.1)
    for result in results:
        result.sum().backward()
    for one, other in zip(near, exact, strict=True):
        torch.testing.assert_close(one.grad.float(), other.grad, rtol=0.05, atol=0.1)


def test_other_maps_stay():
    features = torch.randn(1, 2, 1, 3)
    assert convolve_strided(lambda one: one, features) is features
