"""Measure deformable attention alone, at the shapes of the encoder.

Every cell of the levels of stride 8, 16, 32 and 64 reads, with 8 heads of 32 channels, 4 points per level, up to four
cells away. `forward_s` is the time of the function without gradient, as at inference; `both_s` that of the function and
its gradient for values, locations and weights, as in training. The projections around it are not included. Values are
in `--dtype`; the function itself always computes in float32. One warm-up run is not timed.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vclr.bench.measure import Measurement, time_once
from vclr.bench.settings import Settings
from vclr.errors import UsageError
from vclr.ops.deformable_attention import deformable_attention
from vclr.structures import Size

STRIDES = (8, 16, 32, 64)
NUM_HEADS, NUM_CHANNELS, NUM_POINTS = 8, 32, 4
REACH = 4.0  # cells from a query to its farthest points, as in an untrained layer
NUM_WARM_UPS = 1


def measure_attention(settings: Settings, device: torch.device) -> Measurement:
    """Time forward alone and forward with backward in turns; `positions` is the number of cells.

    Raises:
        UsageError: the backend does not work on the device.
    """
    if settings.backend == "gather" and device.type != "cpu":
        raise UsageError(f"--backend gather: works only on a CPU, not on {device}")
    shapes = level_shapes(settings.sizes[0])
    value, locations, weights = draw_inputs(shapes, settings.batch, getattr(torch, settings.dtype), device)
    grad = torch.rand(settings.batch, value.shape[1], NUM_HEADS * NUM_CHANNELS, device=device).to(value.dtype)

    def attend() -> Tensor:
        return deformable_attention(value, shapes, locations, weights, settings.backend)

    def forward() -> None:
        with torch.no_grad():
            attend()

    def both() -> None:
        torch.autograd.grad(attend(), (value, locations, weights), grad)

    forward_seconds, seconds = _time_by_turns([forward, both], settings.runs, device)
    details: dict[str, Any] = {
        "forward_s": statistics.median(forward_seconds),
        "both_s": statistics.median(seconds),
        "forward_seconds": forward_seconds,
        "positions": value.shape[1],
    }
    return Measurement(seconds, details)


def _time_by_turns(runs: list[Callable[[], None]], count: int, device: torch.device) -> list[list[float]]:
    turns = [[time_once(run, device) for run in runs] for _ in range(NUM_WARM_UPS + count)]
    return [list(seconds) for seconds in zip(*turns[NUM_WARM_UPS:], strict=True)]


def level_shapes(size: Size) -> list[Size]:
    """Return (height, width) of the levels of an image."""
    return [(-(-size[0] // stride), -(-size[1] // stride)) for stride in STRIDES]


def draw_inputs(
    shapes: list[Size], batch: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw values (b, s, m, d), locations (b, s, m, l, p, 2) and weights (b, s, m, l, p), all with gradient."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.cat([cell_centers(shape) for shape in shapes])
    heads = (batch, len(centers), NUM_HEADS, len(shapes), NUM_POINTS)
    sides = torch.tensor([(width, height) for height, width in shapes])
    offsets = REACH * (2 * torch.rand(*heads, 2, generator=generator) - 1) / sides[:, None]
    value = torch.randn(batch, len(centers), NUM_HEADS, NUM_CHANNELS, generator=generator)
    weights = torch.randn(*heads, generator=generator).flatten(3).softmax(-1).view(heads)
    inputs = value.to(dtype), centers[:, None, None, None] + offsets, weights
    value, locations, weights = (tensor.to(device).requires_grad_() for tensor in inputs)
    return value, locations, weights


def cell_centers(shape: Size) -> Tensor:
    """Return the centers (h * w, 2) of a level's cells as (x, y) in [0, 1]."""
    height, width = shape
    ys, xs = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
    return torch.stack([xs, ys], -1).flatten(0, 1)
