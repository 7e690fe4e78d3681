"""Maps of one column: the gradient of a strided convolution's weights is right in bfloat16 too."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from vclr.ops.narrow import widen


@pytest.mark.parametrize("kernel", [1, 3, 7])
@pytest.mark.parametrize("height", [1, 8])
def test_strided_convolution_of_one_column(kernel: int, height: int):
    features, weight = torch.randn(1, 32, height, 1), torch.randn(64, 32, kernel, kernel) * 0.1
    exact, near = (
        [value.detach().to(dtype).requires_grad_() for value in (features, weight)]
        for dtype in (torch.float32, torch.bfloat16)
    )
    results = [functional.conv2d(exact[0], exact[1], stride=2, padding=kernel // 2)]
    results.append(functional.conv2d(widen(near[0]), near[1], stride=2, padding=kernel // 2))
    assert results[0].shape == results[1].shape
    for result in results:
        result.sum().backward()
    for one, other in zip(near, exact, strict=True):
        torch.testing.assert_close(one.grad.float(), other.grad, rtol=0.05, atol=0.1)


def test_other_maps_stay():
    features = torch.randn(1, 2, 1, 3)
    assert widen(features) is features
