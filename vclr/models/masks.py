"""The mask branch: all levels of the memory, combined into one per-pixel map."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.nn import functional

from vclr.models.joint_norm import JointBatchNorm
from vclr.ops.winograd import conv3x3


class Conv3x3(nn.Conv2d):
    """A padded 3x3 convolution that uses the fastest method on its device."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (b, d, h, w) to (b, d', h, w)."""
        return conv3x3(features, self.weight, self.bias)


class MaskBranch(nn.Module):
    """Concatenated levels plus two 3x3 convolutions on them, then a LayerNorm over channels."""

    def __init__(self, embed_dim: int, num_levels: int, hidden_dim: int) -> None:
        super().__init__()
        self.channels = num_levels * embed_dim
        self.mapping = nn.Sequential(
            Conv3x3(self.channels, hidden_dim),
            JointBatchNorm(hidden_dim),
            nn.ReLU(inplace=True),
            Conv3x3(hidden_dim, self.channels),
        )
        self.norm = nn.LayerNorm(self.channels)

    def share_statistics(self, process_group: ProcessGroup | None, group_size: int) -> None:
        """Let the statistics of the batch norm cover the images of all these processes, or each group of them."""
        norm = self.mapping[1]
        assert isinstance(norm, JointBatchNorm)
        norm.process_group, norm.group_size = process_group, group_size

    def forward(self, groups: list[list[Tensor]]) -> list[Tensor]:
        """Compute the mask features of a batch.

        Args:
            groups: each holds images of one size, as one (n, d, h, w) map per level, finest first.

        Returns:
            One (l * d, h, w) map per image, as fine as the finest level.
        """
        return [self._normalize(image) for group in self._map(groups) for image in group]

    def map_group(self, maps: list[Tensor]) -> Tensor:
        """Return the mask features (n, l * d, h, w) of images of one size, given as one (n, d, h, w) map per level."""
        (group,) = self._map([maps])
        return self._normalize(group)

    def _map(self, groups: list[list[Tensor]]) -> list[Tensor]:
        expand, norm, activate, contract = self.mapping
        concatenated = [_concatenate(maps) for maps in groups]
        hidden = [expand(features) for features in concatenated]
        activated = [activate(features) for features in norm(hidden)]
        return [features + contract(group) for features, group in zip(concatenated, activated, strict=True)]

    def _normalize(self, features: Tensor) -> Tensor:
        """Normalize (..., d, h, w) over the channels."""
        return self.norm(features.movedim(-3, -1)).movedim(-1, -3)  # type: ignore[no-any-return]


def _concatenate(maps: list[Tensor]) -> Tensor:
    """Resize every level (n, d, h, w) to the first and stack their channels."""
    size = maps[0].shape[-2:]
    return torch.cat(
        [functional.interpolate(level, size=size, mode="bilinear", align_corners=True) for level in maps], 1
    )
