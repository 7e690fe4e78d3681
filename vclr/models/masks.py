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

    def forward(self, groups: list[list[Tensor]]) -> list[Tensor]:
        """Compute the mask features of a batch.

        Args:
            groups: images of one size each: for every level a (n, d, h, w) map, finest first.

        Returns:
            For each image its (l * d, h, w) map of the finest level.
        """
        expand, activate, contract = self.mapping[0], self.mapping[1:3], self.mapping[3]
        concatenated = [_concatenate(maps) for maps in groups]
        hidden = _activate(activate, [expand(features) for features in concatenated])
        mapped = [features + contract(group) for features, group in zip(concatenated, hidden, strict=True)]
        return [self.norm(image.permute(1, 2, 0)).permute(2, 0, 1) for group in mapped for image in group]


def _concatenate(maps: list[Tensor]) -> Tensor:
    """Resize every level (n, d, h, w) to the first and stack their channels."""
    size = maps[0].shape[-2:]
    return torch.cat(
        [functional.interpolate(level, size=size, mode="bilinear", align_corners=True) for level in maps], 1
    )


def _activate(activate: nn.Module, groups: list[Tensor]) -> list[Tensor]:
    """Apply batch norm and ReLU to (n, d, h, w) maps of different sizes; the statistics are of all pixels together."""
    if len(groups) == 1 or not activate.training:
        return [activate(group) for group in groups]
    pixels = [group.transpose(0, 1).flatten(1) for group in groups]
    activated = activate(torch.cat(pixels, 1)[None, :, None])[0, :, 0]
    parts = activated.split([part.shape[1] for part in pixels], dim=1)
    return [
        part.unflatten(1, (group.shape[0], *group.shape[2:])).transpose(0, 1)
        for part, group in zip(parts, groups, strict=True)
    ]
