"""The mask branch: all levels of the memory, put together to one per-pixel map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class MaskBranch(nn.Module):
    """Concatenated levels plus two 3x3 convolutions on them, then a LayerNorm over channels."""

    def __init__(self, embed_dim: int, num_levels: int, hidden_dim: int) -> None:
        super().__init__()
        self.channels = num_levels * embed_dim
        self.mapping = nn.Sequential(
            nn.Conv2d(self.channels, hidden_dim, 3, padding=1),
            nn.BatchNorm2d(hidden_dim),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden_dim, self.channels, 3, padding=1),
        )
        self.norm = nn.LayerNorm(self.channels)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Map one (b, d, h, w) map a level, finest first, to mask features (b, l * d, h, w) of the finest level."""
        size = maps[0].shape[-2:]
        resized = [functional.interpolate(level, size=size, mode="bilinear", align_corners=True) for level in maps]
        features = torch.cat(resized, 1)
        features = features + self.mapping(features)
        return self.norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # type: ignore[no-any-return]
