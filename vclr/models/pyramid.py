"""A simple feature pyramid on the last map of a plain vision transformer (Li et al., ECCV 2022, ViTDet)."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional

FINEST = 8  # pixels: the stride that the finest map is to have
NUM_LEVELS = 3


class SimplePyramid(nn.Module):
    """Three maps of one: transposed convolutions make it finer, pooling makes it coarser.

    Attributes:
        strides: pixels per cell of the three maps: the patch's size times powers of two, the first one nearest to 8.
        out_channels: channels of the maps; each transposed convolution halves them.
    """

    def __init__(self, channels: int, patch: int) -> None:
        super().__init__()
        doublings = max(0, round(math.log2(patch / FINEST)))
        self.steps = [doublings - level for level in range(NUM_LEVELS)]  # below 0: pooling
        self.strides = [round(patch / 2**step) for step in self.steps]
        self.out_channels = [channels // 2 ** max(step, 0) for step in self.steps]
        self.levels = nn.ModuleList(_refine(channels, step) for step in self.steps)

    def forward(self, features: Tensor) -> list[Tensor]:
        """Map (n, d, h, w), one cell per patch, to the three maps, finest first."""
        maps = []
        for step, refine in zip(self.steps, self.levels, strict=True):
            level = refine(features)
            maps.append(functional.max_pool2d(level, 2**-step, ceil_mode=True) if step < 0 else level)
        return maps


class ChannelNorm(nn.LayerNorm):
    """A LayerNorm over the channels of a map (n, d, h, w)."""

    def forward(self, features: Tensor) -> Tensor:
        """Normalize each cell."""
        return super().forward(features.movedim(1, -1)).movedim(-1, 1)


def _refine(channels: int, doublings: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for number in range(doublings):
        if number:
            parts += [ChannelNorm(channels), nn.GELU()]
        parts.append(nn.ConvTranspose2d(channels, channels // 2, 2, stride=2))
        channels //= 2
    return nn.Sequential(*parts)
