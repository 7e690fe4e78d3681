"""Milestones of the learning rate: set as iterations or as shares of the training, and iterations once loaded."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vclr.config.tree import Config
from vclr.errors import UsageError

# The reference's scheduler adds this to the share that is done, so that rounding cannot delay a milestone.
ROUNDING = 1e-6


def resolve_milestones(milestones: Sequence[int | float], max_iter: int) -> list[int]:
    """Return milestones as iterations, in ascending order.

    A share is reached at the first iteration before which that share of the training is done, as in the reference. In a
    short training this may be its end; such a milestone is left out (`say_milestones` tells which are left).
    """
    shares = [math.ceil((share - ROUNDING) * max_iter) for share in milestones if is_share(share)]
    iterations = [int(milestone) for milestone in milestones if not is_share(milestone)]
    return sorted([*iterations, *(iteration for iteration in shares if iteration < max_iter)])


def say_milestones(config: Config) -> str:
    """Say in one line when a training, as it is loaded, lowers the learning rate."""
    milestones = config.optimizer.milestones
    if not milestones:
        return f"the learning rate is never lowered: no milestone before train.max_iter={config.train.max_iter}"
    iterations = f"iteration{'s' * (len(milestones) > 1)} {' and '.join(map(str, milestones))}"
    return f"the learning rate is multiplied by {config.optimizer.gamma:g} after {iterations}"


def is_share(milestone: int | float) -> bool:
    """Tell whether a milestone is a share of the training."""
    return 0 < milestone < 1


def check_milestones(config: Config) -> None:
    """Check that each milestone is an iteration or a share.

    Raises:
        UsageError: a number is neither.
    """
    given = config.optimizer.milestones
    if not all(type(milestone) is int or (type(milestone) is float and is_share(milestone)) for milestone in given):
        raise UsageError(
            f"optimizer.milestones={given}: must be whole numbers of iterations (48000), or shares of train.max_iter "
            "between 0 and 1 (0.8)"
        )


def check_milestones_are_reached(config: Config) -> None:
    """Check that every milestone lies before the end of the training.

    Raises:
        UsageError: one does not, so it would lower nothing.
    """
    end = config.train.max_iter
    if late := [milestone for milestone in config.optimizer.milestones if milestone >= end]:
        raise UsageError(
            f"optimizer.milestones: iteration {late[0]} is not before the end (train.max_iter={end}); give an earlier "
            "one, a share of the training (0.8), or [] for a constant rate"
        )
