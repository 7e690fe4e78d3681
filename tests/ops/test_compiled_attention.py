"""The choice of compiled kernels, and the layout of their arguments; the kernels themselves need a GPU.

In place of the kernels stands the definition in Python, as the packages that compile them give it: it reads the same
arguments, and checks what the kernels assert.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vclr.ops import compiled_attention as compiled
from vclr.ops import deformable_attention as attention

SHAPES = [(6, 8), (3, 4)]


def forward(value: Tensor, shapes: Tensor, starts: Tensor, locations: Tensor, weights: Tensor, portion: int) -> Tensor:
    assert all(tensor.is_contiguous() for tensor in (value, shapes, starts, locations, weights))
    assert shapes.dtype == starts.dtype == torch.int64 and len(value) % min(portion, len(value)) == 0
    b, _, m, d = value.shape
    attended = value.new_zeros(b, locations.shape[1], m, d)
    for level, ((height, width), start) in enumerate(zip(shapes.tolist(), starts.tolist(), strict=True)):
        maps = value[:, start : start + height * width].permute(0, 2, 3, 1).reshape(b * m, d, height, width)
        grid = (2 * locations[:, :, :, level] - 1).transpose(1, 2).flatten(0, 1)
        sampled = functional.grid_sample(maps, grid, align_corners=False).unflatten(0, (b, m))
        attended += torch.einsum("bmdqp,bqmp->bqmd", sampled, weights[:, :, :, level])
    return attended.flatten(2)


def backward(*arguments: Any) -> tuple[Tensor, ...]:
    *inputs, gradient, portion = arguments
    with torch.enable_grad():
        value, locations, weights = (inputs[place].detach().requires_grad_() for place in (0, 3, 4))
        attended = forward(value, inputs[1], inputs[2], locations, weights, portion)
        return torch.autograd.grad(attended, (value, locations, weights), gradient)


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Let a package with the two functions be found."""
    module = SimpleNamespace(ms_deform_attn_forward=forward, ms_deform_attn_backward=backward)
    monkeypatch.setitem(sys.modules, "MultiScaleDeformableAttention", module)
    compiled.compiled_module.cache_clear()
    yield module
    compiled.compiled_module.cache_clear()


def inputs(batch: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(batch, 60, 2, 4, dtype=torch.double, generator=generator)
    locations = torch.rand(batch, 5, 2, 2, 3, 2, dtype=torch.double, generator=generator) * 1.2 - 0.1
    weights = torch.rand(batch, 5, 2, 2, 3, dtype=torch.double, generator=generator)
    return [tensor.requires_grad_() for tensor in (value, locations, weights)]


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("batch", [1, 3, 65])  # 65 images go in portions of 13
def test_the_arguments_are_those_of_the_kernels(batch: int) -> None:
    given = inputs(batch)
    results = [
        compute(given[0], SHAPES, *given[1:])
        for compute in (compiled.compiled_attention, attention.grid_sampled_attention)
    ]
    gradients = [torch.autograd.grad(result.square().sum(), given) for result in results]
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*gradients)


def on_gpu() -> Any:
    """Return what a tensor on a GPU says of itself, except that kernels are tried on the CPU."""
    return SimpleNamespace(device=torch.device("cpu"), is_cuda=True)


@pytest.mark.usefixtures("kernels")
def test_kernels_are_chosen_on_a_gpu_alone() -> None:
    assert attention.choose_backend(on_gpu()) is compiled.compiled_attention
    assert attention.choose_backend(torch.zeros(1)) is attention.gathered_attention


def test_kernels_that_were_built_without_cuda_are_not_chosen(kernels: SimpleNamespace) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("Not compiled with GPU support")

    kernels.ms_deform_attn_forward = refuse
    assert attention.choose_backend(on_gpu()) is not compiled.compiled_attention


def test_without_a_package_pytorch_is_chosen() -> None:
    compiled.compiled_module.cache_clear()
    assert attention.choose_backend(on_gpu()) is not compiled.compiled_attention
    assert attention.choose_backend(torch.zeros(1, device="meta")) is attention.grid_sampled_attention
