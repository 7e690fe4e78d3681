"""ResNet (He et al., CVPR 2016) with the stride in the 3x3 convolution, and its norms.

Images of different sizes pass in groups of one size each, so everything made from the weights is made once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vclr.config import BackboneConfig
from vclr.ops.group_norm import GroupNorm
from vclr.ops.narrow import convolve_strided
from vclr.ops.precision import in_compute_precision

NUM_BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
STAGES = ("res2", "res3", "res4", "res5")


class FrozenBatchNorm(nn.Module):
    """Batch normalization with fixed statistics and fixed affine parameters; all four are buffers."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(num_features))
        self.register_buffer("bias", torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features) - eps)  # the identity, until weights are loaded


@dataclass
class Kernel:
    """The arguments of a convolution: weight (d', d, k, k), and bias (d',) or None."""

    weight: Tensor
    bias: Tensor | None = None


class ConvNorm(nn.Module):
    """A convolution without bias, then a norm; a frozen norm is part of the convolution's kernel."""

    def __init__(self, norm: str, groups: int, in_channels: int, out_channels: int, kernel: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = FrozenBatchNorm(out_channels) if norm == "FrozenBN" else GroupNorm(groups, out_channels)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, groups: list[Tensor], kernels: Kernels) -> list[Tensor]:
        """Map each (n, d, h, w) to (n, d', h', w')."""
        kernel, stride, padding = kernels[self], self.conv.stride, self.conv.padding

        def convolve(features: Tensor) -> Tensor:
            return functional.conv2d(features, kernel.weight, kernel.bias, stride, padding)

        maps = [convolve_strided(convolve, one) if max(stride) > 1 else convolve(one) for one in groups]
        return maps if isinstance(self.norm, FrozenBatchNorm) else [self.norm(features) for features in maps]


Kernels = dict[nn.Module, Kernel]


def fold_norms(convs: list[ConvNorm]) -> Kernels:
    """Return the kernel of each convolution, with a frozen norm folded in, in the precision of the computation."""
    frozen = [conv.norm for conv in convs if isinstance(conv.norm, FrozenBatchNorm)]
    if not frozen:
        return {conv: Kernel(conv.conv.weight) for conv in convs}
    # All channels of all norms in one row: one operation instead of one per norm.
    names = ("weight", "bias", "running_mean", "running_var")
    weight, bias, mean, variance = (torch.cat([getattr(norm, name) for norm in frozen]) for name in names)
    scale = weight * (variance + frozen[0].eps).rsqrt()
    shift = in_compute_precision(bias - mean * scale)
    num_channels = [len(norm.weight) for norm in frozen]
    return {
        conv: Kernel(in_compute_precision(conv.conv.weight * of_conv[:, None, None, None]), of_bias)
        for conv, of_conv, of_bias in zip(convs, scale.split(num_channels), shift.split(num_channels), strict=True)
    }


class Block(nn.Module):
    """A residual block: two 3x3 convolutions, or 1x1, 3x3, 1x1 with a bottleneck."""

    def __init__(self, norm: str, groups: int, in_channels: int, out_channels: int, stride: int, is_bottleneck: bool):
        super().__init__()
        middle = out_channels // 4 if is_bottleneck else out_channels
        if is_bottleneck:
            shapes = [(in_channels, middle, 1, 1), (middle, middle, 3, stride), (middle, out_channels, 1, 1)]
        else:
            shapes = [(in_channels, middle, 3, stride), (middle, out_channels, 3, 1)]
        self.convs = nn.ModuleList(ConvNorm(norm, groups, *shape) for shape in shapes)
        changes = stride != 1 or in_channels != out_channels
        self.shortcut = ConvNorm(norm, groups, in_channels, out_channels, 1, stride) if changes else None

    def forward(self, groups: list[Tensor], kernels: Kernels) -> list[Tensor]:
        """Map each (n, d, h, w) to (n, d', ceil(h / stride), ceil(w / stride))."""
        residuals = groups if self.shortcut is None else self.shortcut(groups, kernels)
        for number, conv in enumerate(self.convs):
            groups = conv(groups, kernels)
            if number < len(self.convs) - 1:
                groups = _relu(groups)
        return _relu([features.add_(residual) for features, residual in zip(groups, residuals, strict=True)])


class Backbone(nn.Module):
    """A ResNet, whose last three stages are its maps; `vclr.models.backbone` says what a backbone is."""

    def __init__(self, config: BackboneConfig, norm_groups: int) -> None:
        super().__init__()
        norm, is_bottleneck = (config.norm, norm_groups), config.depth >= 50
        self.stem = ConvNorm(*norm, 3, config.stem_out_channels, 7, 2)
        self.stem_pool = nn.MaxPool2d(3, 2, 1) if config.stem_pool else nn.Identity()
        in_channels, out_channels = config.stem_out_channels, config.res2_out_channels
        self.out_channels = []
        for stage, num_blocks in zip(STAGES, NUM_BLOCKS[config.depth], strict=True):
            blocks = []
            for number in range(num_blocks):
                stride = 2 if number == 0 and stage != "res2" else 1
                blocks.append(Block(*norm, in_channels, out_channels, stride, is_bottleneck))
                in_channels = out_channels
            self.add_module(stage, nn.Sequential(*blocks))
            self.out_channels.append(out_channels)
            out_channels *= 2
        del self.out_channels[0]
        frozen = [self.stem, *(getattr(self, stage) for stage in STAGES)][: config.freeze_at]
        for module in frozen:
            module.requires_grad_(False)

    def kernels(self) -> Kernels:
        """Return the kernels of all convolutions, made from the current weights and frozen norms."""
        return fold_norms([module for module in self.modules() if isinstance(module, ConvNorm)])

    def forward(self, groups: list[Tensor]) -> list[list[Tensor]]:
        """Compute the features of groups of normalized images (n, 3, h, w); h and w are each group's own.

        Returns:
            For each group res3, res4 and res5, each (n, d, h, w); strides 8, 16 and 32, or 4, 8, 16 without the stem's
            pooling.
        """
        kernels = self.kernels()
        features = [self.stem_pool(stem) for stem in _relu(self.stem(groups, kernels))]
        outputs = []
        for stage in STAGES:
            for block in getattr(self, stage):
                features = block(features, kernels)
            outputs.append(features)
        return [list(levels) for levels in zip(*outputs[1:], strict=True)]


def _relu(groups: list[Tensor]) -> list[Tensor]:
    return [functional.relu(features, inplace=True) for features in groups]
