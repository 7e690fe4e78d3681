"""AdamW with the reference's parameter groups, and the stepwise learning rate."""

from __future__ import annotations

from typing import Any

import torch

from vclr.config import OptimizerConfig
from vclr.models.detector import Detector
from vclr.models.learning_rates import parameter_groups, rate_factor


def build_optimizer(model: Detector, config: OptimizerConfig) -> torch.optim.AdamW:
    """Build AdamW over the trainable parameters in the groups of `parameter_groups`."""
    betas = (config.betas[0], config.betas[1])
    return torch.optim.AdamW(parameter_groups(model, config), lr=config.lr, betas=betas, fused=True)


def build_scheduler(
    optimizer: torch.optim.Optimizer, config: OptimizerConfig, iteration: int = 0
) -> torch.optim.lr_scheduler.LambdaLR:
    """Build the learning rate schedule from `iteration` on: each group's own rate times `rate_factor`."""

    def factor(iteration: int) -> float:  # a function: checkpoints would include any other callable
        return rate_factor(config, iteration)

    return torch.optim.lr_scheduler.LambdaLR(optimizer, factor, last_epoch=iteration - 1)


def load_schedule(scheduler: torch.optim.lr_scheduler.LambdaLR, state: dict[str, Any], config: OptimizerConfig) -> None:
    """Continue the schedule of a checkpoint with the rates of these settings, whose next milestone may be another."""
    scheduler.load_state_dict(state)
    scheduler._last_lr = [base * rate_factor(config, scheduler.last_epoch) for base in scheduler.base_lrs]
    for group, rate in zip(scheduler.optimizer.param_groups, scheduler._last_lr, strict=True):
        group["lr"] = rate
