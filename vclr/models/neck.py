"""Channel mapper: the backbone's features, and coarser ones, at one width."""

from __future__ import annotations

from torch import Tensor, nn

from vclr.ops.group_norm import GroupNorm
from vclr.ops.narrow import convolve_strided


class Neck(nn.Module):
    """1x1 convolutions on the backbone's levels, strided 3x3 ones for further levels; GroupNorm, no activation."""

    def __init__(self, in_channels: list[int], out_channels: int, num_levels: int, norm_groups: int) -> None:
        super().__init__()
        self.num_backbone_levels = min(num_levels, len(in_channels))
        levels = []
        for level in range(num_levels):
            if level < len(in_channels):
                conv = nn.Conv2d(in_channels[level], out_channels, 1)
            else:
                source = in_channels[-1] if level == len(in_channels) else out_channels
                conv = nn.Conv2d(source, out_channels, 3, stride=2, padding=1)
            nn.init.xavier_uniform_(conv.weight)
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
            levels.append(nn.Sequential(conv, GroupNorm(norm_groups, out_channels)))
        self.levels = nn.ModuleList(levels)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Map the backbone's features to one (b, d, h, w) map per level, finest first."""
        outputs = []
        source = features[-1]
        for number, level in enumerate(self.levels):
            if number < self.num_backbone_levels:
                outputs.append(level(features[number]))
            else:
                convolution, norm = level.children()
                source = norm(convolve_strided(convolution, source))
                outputs.append(source)
        return outputs
