"""The learning rate of each parameter: its group's rate, times the factor of the iteration."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from torch import nn

from vclr.config import OptimizerConfig, is_share
from vclr.errors import UsageError
from vclr.models.detector import Detector

NORMS = (nn.GroupNorm, nn.LayerNorm, nn.BatchNorm2d)


def parameter_groups(model: Detector, config: OptimizerConfig) -> list[dict[str, Any]]:
    """Divide the trainable parameters into three groups: backbone, norms and the rest. Empty groups are left out.

    The backbone learns at `backbone_lr_factor` of the rate; norms decay by `weight_decay_norm`. A backbone that places
    its parameters (`vclr.models.backbone`) has a group per layer, if `layer_decay` is below 1, with that factor for
    each layer after it, and further ones for what does not decay. The first layers come first.

    Returns:
        `params`, `lr` and `weight_decay` of each group.

    Raises:
        UsageError: `layer_decay` has no effect on this backbone.
    """
    place = getattr(model.backbone, "place", None)
    if place is None and config.layer_decay != 1:
        name = model.config.backbone.name
        raise UsageError(f"optimizer.layer_decay={config.layer_decay}: has no effect on model.backbone.name={name}")
    norm_parameters = {
        id(parameter) for module in model.modules() if isinstance(module, NORMS) for parameter in module.parameters()
    }
    backbone: dict[tuple[int, bool], list[nn.Parameter]] = {}  # by the number of layers after it, and whether it decays
    norms, rest = [], []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if name.startswith("backbone."):
            after, decays = place(name.removeprefix("backbone."), parameter) if place else (0, True)
            backbone.setdefault((after if config.layer_decay != 1 else 0, decays), []).append(parameter)
        elif id(parameter) in norm_parameters:
            norms.append(parameter)
        else:
            rest.append(parameter)
    groups = [
        *(
            {
                "params": parameters,
                "lr": layer_rate(config, after),
                "weight_decay": config.weight_decay if decays else config.weight_decay_norm,
            }
            for (after, decays), parameters in sorted(backbone.items(), key=lambda item: item[0], reverse=True)
        ),
        {"params": norms, "lr": config.lr, "weight_decay": config.weight_decay_norm},
        {"params": rest, "lr": config.lr, "weight_decay": config.weight_decay},
    ]
    return [group for group in groups if group["params"]]


def layer_rate(config: OptimizerConfig, after: int) -> float:
    """Return the learning rate of a layer of the backbone that so many layers come after."""
    rate = config.lr * config.backbone_lr_factor
    return rate * config.layer_decay**after if after else rate


def rate_factor(config: OptimizerConfig, iteration: int) -> float:
    """Return the factor of an iteration: linear warm-up, and one more `gamma` from each milestone on.

    Raises:
        ValueError: a milestone is still a share of the training; `load_config` makes iterations of them.
    """
    if any(map(is_share, config.milestones)):
        raise ValueError(f"optimizer.milestones={config.milestones}: are not iterations; load settings by load_config")
    warmup = min(1.0, (iteration + 1) / config.warmup_iters) if config.warmup_iters else 1.0
    return warmup * config.gamma ** bisect_right(sorted(config.milestones), iteration)
