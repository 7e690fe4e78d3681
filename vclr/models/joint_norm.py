"""Batch normalization over images of different sizes and over all processes of a training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.distributed import ProcessGroup

from vclr.groups import count_groups, groups_of_images
from vclr.ops.constants import upload


class JointBatchNorm(nn.BatchNorm2d):
    """Batch norm over a batch in parts; in training its statistics cover the pixels of all images, or of each group.

    Attributes:
        process_group: the processes whose images count too; None: this process alone.
        group_size: how many images share statistics, by their places in the batch of all these processes; the running
            statistics are then those of the first group, as in the reference. 0: all images.
    """

    process_group: ProcessGroup | None = None
    group_size = 0

    def forward(self, parts: list[Tensor]) -> list[Tensor]:  # type: ignore[override]
        """Normalize (n, d, h, w) maps; h and w are each part's own."""
        is_plain = len(parts) == 1 and self.process_group is None and not self.group_size
        if not self.training or is_plain:
            return [super(JointBatchNorm, self).forward(part) for part in parts]
        pieces = [piece for part in parts for piece in part.split(1)] if self.group_size else parts
        owners, num_groups = self._find_groups(len(pieces))
        # In float32 even if the maps are not: half precision has too few digits for sums over many pixels.
        with torch.autocast(parts[0].device.type, enabled=False):
            wide = [piece.float() for piece in pieces]
            mean, variance = self._measure(wide, owners, num_groups)
            scale = self.weight * (variance + self.eps).rsqrt()
            shift = self.bias - mean * scale
            normalized = [
                torch.addcmul(shift[owner][:, None, None], piece, scale[owner][:, None, None]).to(parts[0].dtype)
                for owner, piece in zip(owners, wide, strict=True)
            ]
        if not self.group_size:
            return normalized
        images = iter(normalized)
        return [torch.cat([next(images) for _ in part]) for part in parts]

    def _find_groups(self, num_pieces: int) -> tuple[list[int], int]:
        """Return the group of each piece, and the number of groups of all processes."""
        if not self.group_size:
            return [0] * num_pieces, 1
        rank, world_size = 0, 1
        if self.process_group is not None:
            rank, world_size = distributed.get_rank(self.process_group), distributed.get_world_size(self.process_group)
        owners = groups_of_images(num_pieces, self.group_size, rank)
        return owners, count_groups(num_pieces * world_size, self.group_size)

    def _measure(self, pieces: list[Tensor], owners: list[int], num_groups: int) -> tuple[Tensor, Tensor]:
        """Return each group's mean and variance (g, d), with gradient, and update the running statistics."""
        own = [torch.var_mean(piece, dim=(0, 2, 3), correction=0) for piece in pieces]
        counts = [piece.numel() // piece.shape[1] for piece in pieces]
        sums = _sum_by_group(
            [own_mean * own_count for (_, own_mean), own_count in zip(own, counts, strict=True)], owners, num_groups
        )
        of_groups = np.bincount(owners, counts, num_groups)
        total = self._total(torch.cat([sums, upload(of_groups, sums.device, sums.dtype)[:, None]], 1))
        count = total[:, -1:]
        mean = total[:, :-1] / count
        # Squares around the common mean: a difference of large sums would lose the small digits.
        squares = [
            (own_variance + (own_mean - mean[owner]).square()) * own_count
            for (own_variance, own_mean), own_count, owner in zip(own, counts, owners, strict=True)
        ]
        variance = self._total(_sum_by_group(squares, owners, num_groups)) / count
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None
            assert self.num_batches_tracked is not None and self.momentum is not None
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean[0], self.momentum)
            self.running_var.lerp_((variance * count / (count - 1).clamp(min=1))[0], self.momentum)
        return mean, variance

    def _total(self, value: Tensor) -> Tensor:
        """Sum over the processes, with gradient."""
        if self.process_group is None:
            return value
        return _Total.apply(value, self.process_group)  # type: ignore[no-any-return,no-untyped-call]


def _sum_by_group(values: list[Tensor], owners: list[int], num_groups: int) -> Tensor:
    """Sum values (d,) by the group that owns them: (g, d), zero for groups of other processes."""
    nothing = torch.zeros_like(values[0])
    sums = []
    for group in range(num_groups):
        own = [value for value, owner in zip(values, owners, strict=True) if owner == group]
        sums.append(torch.stack(own).sum(0) if own else nothing)
    return torch.stack(sums)


class _Total(torch.autograd.Function):
    """The sum over processes, with gradient: each process's part changes the losses of all."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, process_group: ProcessGroup) -> Tensor:
        ctx.process_group = process_group
        total = value.clone()
        distributed.all_reduce(total, group=process_group)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        total = grad.clone()
        distributed.all_reduce(total, group=ctx.process_group)
        return total, None
