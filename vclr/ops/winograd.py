"""3x3 convolution of many channels on a CPU, by Winograd's F(2x2, 3x3) (Lavin and Gray, CVPR 2016).

A tile of 4x4 pixels gives 2x2 results with 16 products instead of 36, and each of the 16 is one large matrix product
over all tiles. The additions around them cost little with hundreds of channels. Rounding errors are as large as
those of the direct convolution. To save memory, one row of four products is computed at a time, for some of the output
channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from vclr.ops.plain import is_plain

# With fewer channels, the additions cost more than the products saved.
MIN_CHANNELS = 256
# Output channels at once.
CHUNK = 512

# Of four pixels in a line, product k reads first + sign * second.
READS = ((0, 2, -1), (1, 2, 1), (2, 1, -1), (1, 3, -1))
# Product k enters result i of the two in a line, with a sign.
ENTERS = (((0, 1),), ((0, 1), (1, 1)), ((0, 1), (1, -1)), ((1, -1),))
# Product k weighs the three taps of the kernel.
TAPS = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]])


def conv3x3(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve (b, c, h, w) with (o, c, 3, 3), padded by one pixel, to (b, o, h, w), by the faster method."""
    is_direct = bias is None or features.device.type != "cpu" or is_plain() or min(weight.shape[:2]) < MIN_CHANNELS
    is_exact = features.dtype.itemsize >= 4 and not torch.is_autocast_enabled(features.device.type)
    if bias is None or is_direct or not is_exact:
        return functional.conv2d(features, weight, bias, padding=1)
    return winograd_conv3x3(features, weight, bias)


def winograd_conv3x3(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute the same as `conv3x3` by Winograd's algorithm; the result is channels-last in memory."""
    return _Winograd.apply(features, weight, bias)  # type: ignore[no-any-return,no-untyped-call]


class _Winograd(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        weight = weight.contiguous()
        ctx.save_for_backward(features, weight)
        (height, width), pixels = features.shape[2:], _pad(features)
        output = bias.repeat(len(features), height + height % 2, width + width % 2, 1)
        for part, results in zip(weight.split(CHUNK), output.split(CHUNK, dim=3), strict=True):
            for row, kernels in enumerate(_transform_kernels(part)):
                products = [tiles @ kernel.T for tiles, kernel in zip(_read_tiles(pixels, row), kernels, strict=True)]
                _add_results(results, products, row)
        return output[:, :height, :width].permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features, weight = ctx.saved_tensors
        (height, width), pixels = features.shape[2:], _pad(features)
        output = grad.permute(0, 2, 3, 1)
        if height % 2 or width % 2:
            output = functional.pad(output, (0, 0, 0, width % 2, 0, height % 2))
        grad_pixels, grad_weight = torch.zeros_like(pixels), torch.empty_like(weight)
        taps = _taps(weight).view(4, 4, 9)
        parts = weight.split(CHUNK), grad_weight.split(CHUNK), output.split(CHUNK, dim=3)
        for part, grad_part, results in zip(*parts, strict=True):
            for row, kernels in enumerate(_transform_kernels(part)):
                products = _read_results(results, row)
                _add_tiles(
                    grad_pixels, [product @ kernel for product, kernel in zip(products, kernels, strict=True)], row
                )
                for product, tiles, kernel in zip(products, _read_tiles(pixels, row), kernels, strict=True):
                    torch.mm(product.T, tiles, out=kernel)  # from here on it is the kernel's gradient
                # The first row overwrites what memory held.
                grad_part.view(-1, 9).addmm_(kernels.flatten(1).T, taps[row], beta=0 if row == 0 else 1)
        grad_features = grad_pixels[:, 1 : height + 1, 1 : width + 1].permute(0, 3, 1, 2)
        return grad_features, grad_weight, grad.sum((0, 2, 3))


def _pad(features: Tensor) -> Tensor:
    """Return pixels (b, h + 2, w + 2, c) with a border of zeros, the sides rounded up to even ones."""
    height, width = features.shape[2:]
    return functional.pad(features.permute(0, 2, 3, 1), (0, 0, 1, 1 + width % 2, 1, 1 + height % 2))


def _transform_kernels(weight: Tensor) -> Tensor:
    """Return the kernels of the products, (4, 4, o, c): rows of the tile, and the four of a row."""
    kernels = _taps(weight) @ weight.view(-1, 9).T
    return kernels.view(4, 4, *weight.shape[:2])


def _taps(like: Tensor) -> Tensor:
    """Return how the 16 products weigh the nine taps, (16, 9)."""
    return torch.kron(TAPS, TAPS).to(like)


def _read_tiles(pixels: Tensor, row: int) -> list[Tensor]:
    """Return what each product of a row reads, (t, c) over all tiles."""
    first, second, sign = READS[row]
    lines = torch.add(_every_second(pixels, 1, first), _every_second(pixels, 1, second), alpha=sign)
    tiles = [
        torch.add(_every_second(lines, 2, first), _every_second(lines, 2, second), alpha=sign)
        for first, second, sign in READS
    ]
    return [tile.flatten(0, 2) for tile in tiles]


def _add_tiles(pixels: Tensor, tiles: Sequence[Tensor], row: int) -> None:
    """Add (t, c) of each product of a row to the pixels it reads: the transpose of `_read_tiles`."""
    b, height, width, channels = pixels.shape
    lines = pixels.new_zeros(b, height // 2 - 1, width, channels)
    for tile, (first, second, sign) in zip(tiles, READS, strict=True):
        tile = tile.view(b, height // 2 - 1, width // 2 - 1, channels)
        _every_second(lines, 2, first).add_(tile)
        _every_second(lines, 2, second).add_(tile, alpha=sign)
    first, second, sign = READS[row]
    _every_second(pixels, 1, first).add_(lines)
    _every_second(pixels, 1, second).add_(lines, alpha=sign)


def _add_results(output: Tensor, products: Sequence[Tensor], row: int) -> None:
    """Add a row of products (t, o), which are used up, to the results (b, h, w, o)."""
    even = products[0].add_(products[1]).add_(products[2])
    odd = products[1].sub_(products[2]).sub_(products[3])
    for column, of_column in enumerate((even, odd)):
        for line, sign in ENTERS[row]:
            part = output[:, line::2, column::2]
            part.add_(of_column.view_as(part), alpha=sign)


def _read_results(results: Tensor, row: int) -> list[Tensor]:
    """Return the gradient (t, o) of each product of a row: the transpose of `_add_results`."""
    (line, sign), *other = ENTERS[row]
    lines = results[:, line::2] if sign > 0 else -results[:, line::2]
    if other:
        ((line, sign),) = other
        lines = torch.add(lines, results[:, line::2], alpha=sign)
    even, odd = lines[:, :, ::2].flatten(0, 2), lines[:, :, 1::2].flatten(0, 2)
    return [even, even + odd, even - odd, -odd]


def _every_second(pixels: Tensor, dim: int, start: int) -> Tensor:
    """View the pixel number `start` of every tile of four along a dimension; tiles overlap by two."""
    num_tiles = pixels.shape[dim] // 2 - 1
    return pixels.narrow(dim, start, 2 * num_tiles - 1)[(slice(None),) * dim + (slice(None, None, 2),)]
