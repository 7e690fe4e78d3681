"""Batch normalization over images of different sizes and over all processes of a training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed import ProcessGroup


class JointBatchNorm(nn.BatchNorm2d):
    """Batch norm over groups of images; in training its statistics cover the pixels of all groups.

    Attributes:
        process_group: the processes whose images count too; None: this process alone.
    """

    process_group: ProcessGroup | None = None

    def forward(self, groups: list[Tensor]) -> list[Tensor]:  # type: ignore[override]
        """Normalize (n, d, h, w) maps; h and w are each group's own."""
        if not self.training or (len(groups) == 1 and self.process_group is None):
            return [super(JointBatchNorm, self).forward(group) for group in groups]
        # In float32 even if the maps are not: half precision has too few digits for sums over many pixels.
        with torch.autocast(groups[0].device.type, enabled=False):
            wide = [group.float() for group in groups]
            mean, variance = self._measure(wide)
            scale = self.weight * (variance + self.eps).rsqrt()
            shift = self.bias - mean * scale
            normalized = [torch.addcmul(shift[:, None, None], group, scale[:, None, None]) for group in wide]
        return [result.to(group.dtype) for result, group in zip(normalized, groups, strict=True)]

    def _measure(self, groups: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return mean and variance (d,), with gradient, and update the running statistics."""
        own = [torch.var_mean(group, dim=(0, 2, 3), correction=0) for group in groups]
        counts = [group.numel() // group.shape[1] for group in groups]
        sums = torch.stack([own_mean * own_count for (_, own_mean), own_count in zip(own, counts, strict=True)]).sum(0)
        total = self._total(torch.cat([sums, sums.new_full((1,), sum(counts))]))
        count = total[-1]
        mean = total[:-1] / count
        # Squares around the common mean: a difference of large sums would lose the small digits.
        squares = [
            (own_variance + (own_mean - mean).square()) * own_count
            for (own_variance, own_mean), own_count in zip(own, counts, strict=True)
        ]
        variance = self._total(torch.stack(squares).sum(0)) / count
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None
            assert self.num_batches_tracked is not None and self.momentum is not None
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1).clamp(min=1), self.momentum)
        return mean, variance

    def _total(self, value: Tensor) -> Tensor:
        """Sum over the processes, with gradient."""
        if self.process_group is None:
            return value
        return _Total.apply(value, self.process_group)  # type: ignore[no-any-return,no-untyped-call]


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
