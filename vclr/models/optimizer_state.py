"""The state of AdamW and its learning rate in a checkpoint, checked before the optimizer loads it.

Torch itself accepts anything, and its fused kernel would then write beyond the moments' memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from vclr.config import OptimizerConfig
from vclr.errors import UserError
from vclr.models.learning_rates import layer_rate, rate_factor

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # the supported types
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
MAX_LAYERS = 200  # of a backbone
# Options that no setting changes; a checkpoint of another torch may lack some.
FIXED = {
    "eps": 1e-8,
    "amsgrad": False,
    "maximize": False,
    "capturable": False,
    "differentiable": False,
    "decoupled_weight_decay": True,
}
# The state of a scheduler in any torch from 2.6 on.
SCHEDULER_KEYS = {
    "base_lrs",
    "last_epoch",
    "verbose",
    "_step_count",
    "_is_initial",
    "_get_lr_called_within_step",
    "_last_lr",
    "lr_lambdas",
}


def check_moments(optimizer: Any, iteration: int, may_skip: bool, where: str, must_be_finite: bool) -> None:
    """Check the state of each parameter in an optimizer's state dict, and that the groups number the parameters.

    With `may_skip`, steps may have been skipped until `iteration`. Errors begin with `where`, the file and its part.

    Raises:
        UserError: says in one line what is wrong.
    """
    if not isinstance(optimizer, Mapping):
        raise UserError(f"{where}: is of type {type(optimizer).__name__}, not a dictionary")
    groups, states = optimizer.get("param_groups"), optimizer.get("state")
    if not isinstance(groups, list) or not all(isinstance(group, Mapping) for group in groups):
        raise UserError(f"{where}: has no list of param_groups")
    if not isinstance(states, Mapping):
        raise UserError(f"{where}: has no state")
    numbers: list[Any] = []
    for group in groups:
        if not isinstance(group.get("params"), list):
            raise UserError(f"{where}: a group has no list of params")
        numbers += group["params"]
    if any(type(number) is not int for number in numbers) or numbers != list(range(len(numbers))):
        raise UserError(f"{where}: its groups do not number the parameters one after another")
    if bool(states) != bool(iteration) and not may_skip:
        raise UserError(f"{where}: holds moments of {len(states)} parameters at iteration {iteration}")
    for number, state in states.items():
        if type(number) is not int or not 0 <= number < len(numbers):
            raise UserError(f"{where}: has moments of a parameter {number!r:.40}, which is in no group")
        if not isinstance(state, Mapping) or set(state) != set(MOMENTS):
            raise UserError(f"{where}: the state of parameter {number} is not {', '.join(MOMENTS)}")
        _check_state(state, iteration, f"{where}: parameter {number}", must_be_finite)


def _check_state(state: Mapping[str, Any], iteration: int, where: str, must_be_finite: bool) -> None:
    for key in MOMENTS:
        value = state[key]
        if not isinstance(value, Tensor) or value.layout is not torch.strided or value.device.type != "cpu":
            raise UserError(f"{where}: {key} is not a tensor of plain numbers")
        # The fused kernel reads the numbers in memory order.
        if value.dtype not in FLOATS or not value.is_contiguous():
            raise UserError(f"{where}: {key} is not a tensor of numbers one after another")
    step, average, square = (state[key] for key in MOMENTS)
    if step.shape != () or step.dtype != torch.float32 or not 1 <= step.item() <= iteration or step.item() % 1:
        raise UserError(f"{where}: step is not a number from 1 to {iteration}")
    if average.shape != square.shape or average.dtype != square.dtype:
        raise UserError(f"{where}: exp_avg and exp_avg_sq differ in shape or type")
    if must_be_finite and not bool(average.isfinite().all() & square.isfinite().all()):
        raise UserError(f"{where}: its moments are not finite")
    if bool((square < 0).any()):
        raise UserError(f"{where}: exp_avg_sq holds numbers below 0")


def check_rates(
    optimizer: Mapping[str, Any], scheduler: Any, config: OptimizerConfig, iteration: int, name: str
) -> None:
    """Check that groups and scheduler have the learning rates of the settings at an iteration.

    Raises:
        UserError: says in one line which do not.
    """
    groups = optimizer["param_groups"]
    most = MAX_LAYERS if config.layer_decay != 1 else 1
    bases = {config.lr, *(layer_rate(config, after) for after in range(most))}
    for number, group in enumerate(groups):
        where = f"{name}: optimizer: group {number}"
        if not any(_are_close(group.get("initial_lr"), base) for base in bases):
            raise UserError(f"{where}: initial_lr is not that of its settings")
        rate = group["initial_lr"] * rate_factor(config, iteration)
        decays = (config.weight_decay, config.weight_decay_norm)
        rules = {
            "lr": _are_close(group.get("lr"), rate),
            "weight_decay": any(_are_close(group.get("weight_decay"), decay) for decay in decays),
            "betas": _are_list(group.get("betas"), config.betas),
        }
        given = {key: group.get(key, value) for key, value in FIXED.items()}
        rules |= {key: type(given[key]) is type(value) and given[key] == value for key, value in FIXED.items()}
        rules |= {key: isinstance(group.get(key), (bool, type(None))) for key in ("fused", "foreach")}
        if wrong := [key for key, is_right in rules.items() if not is_right]:
            raise UserError(f"{where}: {wrong[0]} is not that of its settings")
    where = f"{name}: scheduler"
    if not isinstance(scheduler, Mapping) or not set(scheduler) <= SCHEDULER_KEYS:
        raise UserError(f"{where}: is not a dictionary of a schedule")
    last = scheduler.get("last_epoch")
    if type(last) is not int or last != iteration:
        raise UserError(f"{where}: last_epoch is not {iteration}, the iteration of the checkpoint")
    count = scheduler.get("_step_count")
    if type(count) is not int or count < 1:
        raise UserError(f"{where}: _step_count is not a number above 0")
    if not all(type(scheduler.get(key, False)) is bool for key in ("_is_initial", "_get_lr_called_within_step")):
        raise UserError(f"{where}: its flags are not true or false")
    for key, expected in (("base_lrs", "initial_lr"), ("_last_lr", "lr")):
        if not _are_list(scheduler.get(key), [group[expected] for group in groups]):
            raise UserError(f"{where}: {key} are not the {expected} of the optimizer's groups")
    lambdas = scheduler.get("lr_lambdas")
    if not isinstance(lambdas, list) or len(lambdas) != len(groups) or any(one is not None for one in lambdas):
        raise UserError(f"{where}: lr_lambdas are not those of its groups")


def _are_close(value: Any, expected: float) -> bool:
    return type(value) in (int, float) and math.isclose(value, expected, rel_tol=1e-6)


def _are_list(values: Any, expected: Sequence[float]) -> bool:
    is_list = isinstance(values, Sequence) and len(values) == len(expected)  # or OmegaConf's, of the reference
    return is_list and all(map(_are_close, values, expected))
