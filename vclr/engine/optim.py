"""AdamW with the reference's parameter groups, and the stepwise learning rate."""

from __future__ import annotations

from bisect import bisect_right

import torch
from torch import nn

from vclr.config import OptimizerConfig
from vclr.models.detector import Detector

NORMS = (nn.GroupNorm, nn.LayerNorm, nn.BatchNorm2d)


def build_optimizer(model: Detector, config: OptimizerConfig) -> torch.optim.AdamW:
    """Build AdamW over the trainable parameters in three groups: backbone, norms, and the rest.

    The backbone learns at `backbone_lr_factor` of the rate; norms decay by `weight_decay_norm`.
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
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.lr,
        betas=(config.betas[0], config.betas[1]),
        fused=True,
    )


def build_scheduler(
    optimizer: torch.optim.Optimizer, config: OptimizerConfig, iteration: int = 0
) -> torch.optim.lr_scheduler.LambdaLR:
    """Build the learning rate from `iteration` on: linear warm-up, then a factor of `gamma` from each milestone on."""

    def factor(iteration: int) -> float:
        warmup = min(1.0, (iteration + 1) / config.warmup_iters) if config.warmup_iters else 1.0
        return warmup * config.gamma ** bisect_right(sorted(config.milestones), iteration)

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor, last_epoch=iteration - 1)
