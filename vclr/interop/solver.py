"""Our optimizer and learning rate as detectron2's trainers call them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from vclr.config import ClipGradConfig, Config
from vclr.interop.meta_architecture import VclrDetector
from vclr.interop.requirements import need
from vclr.interop.settings import Settings, read_settings
from vclr.models.learning_rates import parameter_groups, rate_factor


class ClippingAdamW(torch.optim.AdamW):
    """AdamW that clips the norm of all gradients together before each step, because detectron2's trainers do not."""

    def __init__(self, params: Any, clip_grad: ClipGradConfig, **options: Any) -> None:
        super().__init__(params, **options)
        self._clip_grad = clip_grad

    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Clip, and move the parameters."""
        if self._clip_grad.enabled:
            parameters = [parameter for group in self.param_groups for parameter in group["params"]]
            limits = self._clip_grad.params
            torch.nn.utils.clip_grad_norm_(parameters, limits.max_norm, limits.norm_type)
        return super().step(closure)


def build_optimizer(model: nn.Module, settings: Settings) -> torch.optim.AdamW:
    """Build the optimizer of `vclr train` over a `VclrDetector`, wrapped or not; the teacher has no part in it."""
    config = read_settings(settings)
    inner = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    assert isinstance(inner, VclrDetector)
    optimizer = config.optimizer
    groups = parameter_groups(inner.student, optimizer)
    betas = (optimizer.betas[0], optimizer.betas[1])
    return ClippingAdamW(groups, config.train.clip_grad, lr=optimizer.lr, betas=betas)


def trained_detector(model: nn.Module) -> nn.Module:
    """Return what the tools of LazyConfigs put into `optimizer.params.model`."""
    return model


def build_optimizer_of(params: nn.Module, settings: Settings) -> torch.optim.AdamW:
    """Build the optimizer of a LazyConfig, over `trained_detector`."""
    return build_optimizer(params, settings)


def rate_schedule(settings: Settings) -> Any:
    """Return the learning rate's factor as one of fvcore's schedules, from the share of the training that is done."""
    schedulers = need("fvcore.common.param_scheduler")
    config: Config = read_settings(settings)

    class RateSchedule(schedulers.ParamScheduler):  # type: ignore[misc, name-defined]
        def __call__(self, where: float) -> float:
            return rate_factor(config.optimizer, round(where * config.train.max_iter))

    return RateSchedule()
