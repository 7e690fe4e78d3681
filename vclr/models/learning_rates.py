"""The learning rate of each parameter: its group's rate, times the factor of the iteration."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from torch import nn

from vclr.config import OptimizerConfig, is_share
from vclr.models.detector import Detector

NORMS = (nn.GroupNorm, nn.LayerNorm, nn.BatchNorm2d)


def parameter_groups(model: Detector, config: OptimizerConfig) -> list[dict[str, Any]]:
    """Divide the trainable parameters into three groups: backbone, norms and the rest. Empty groups are left out.

    The backbone learns at `backbone_lr_factor` of the rate; norms decay by `weight_decay_norm`.

    Returns:
        `params`, `lr` and `weight_decay` of each group.
    """
    norm_parameters = {
        id(parameter) for module in model.modules() if isinstance(module, NORMS) for parameter in module.parameters()
    }
    backbone, norms, rest = [], [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.startswith("backbone."):
            backbone.append(parameter)
        elif id(parameter) in norm_parameters:
            norms.append(parameter)
        else:
            rest.append(parameter)
    groups = [
        {"params": backbone, "lr": config.lr * config.backbone_lr_factor, "weight_decay": config.weight_decay},
        {"params": norms, "lr": config.lr, "weight_decay": config.weight_decay_norm},
        {"params": rest, "lr": config.lr, "weight_decay": config.weight_decay},
    ]
    return [group for group in groups if group["params"]]


def rate_factor(config: OptimizerConfig, iteration: int) -> float:
    """Return the factor of an iteration: linear warm-up, and one more `gamma` from each milestone on.

    Raises:
        ValueError: a milestone is still a share of the training; `load_config` makes iterations of them.
    """
    if any(map(is_share, config.milestones)):
        raise ValueError(f"optimizer.milestones={config.milestones}: are not iterations; load settings by load_config")
    warmup = min(1.0, (iteration + 1) / config.warmup_iters) if config.warmup_iters else 1.0
    return warmup * config.gamma ** bisect_right(sorted(config.milestones), iteration)
