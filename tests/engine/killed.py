"""A training that is killed in the middle of a step."""

from __future__ import annotations

from typing import Any

import pytest

from vclr.config import Config
from vclr.engine import train as train_module


def train_until_killed(config: Config, num_steps: int = 5) -> None:
    """Train so many steps; the next one ends it, and nothing is saved any more."""
    steps, step = iter(range(num_steps)), train_module.training_step

    def step_until_killed(*arguments: Any) -> dict[str, float]:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return step(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "training_step", step_until_killed)
        with pytest.raises(KeyboardInterrupt):
            train_module.train(config, quiet=True)
