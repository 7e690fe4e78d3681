"""Batch normalization of images of different sizes, and of all processes of a training, together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed import ProcessGroup


class JointBatchNorm(nn.BatchNorm2d):
    """Batch norm over groups of images; in training the statistics are of all their pixels together.

    Attributes:
        process_group: processes whose images count too; None: this process alone.
    """

    process_group: ProcessGroup | None = None

    def forward(self, groups: list[Tensor]) -> list[Tensor]:  # type: ignore[override]
        """Normalize (n, d, h, w) maps; h and w are each group's own."""
        if not self.training or (len(groups) == 1 and self.process_group is None):
            return [super(JointBatchNorm, self).forward(group) for group in groups]
        mean, variance = self._measure(groups)
        scale = self.weight * (variance + self.eps).rsqrt()
        shift = self.bias - mean * scale
        return [torch.addcmul(shift[:, None, None], group, scale[:, None, None]).to(group.dtype) for group in groups]

    def _measure(self, groups: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return mean and variance (d,), with gradient, and note them in the running statistics."""
        own = [torch.var_mean(group.float(), dim=(0, 2, 3), correction=0) for group in groups]
        counts = torch.tensor([float(group.numel() // group.shape[1]) for group in groups], device=groups[0].device)
        variances, means = (torch.stack(moments) for moments in zip(*own, strict=True))
        count = self._total(counts.sum())
        mean = self._total(counts @ means) / count
        # Squares around the common mean: differences of large sums would lose the small digits.
        variance = self._total(counts @ (variances + (means - mean).square())) / count
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
    """The sum over processes: a process's part of it changes the losses of all."""

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
