"""Trainings of six steps on the small toy world."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.tiny_training import TINY
from vclr.config import Config


@pytest.fixture(scope="session")
def make_config(make_config: Callable[..., Config]) -> Callable[..., Config]:
    """Return the demo's settings for six steps, changed by overrides."""
    own = [
        *TINY,
        "dataloader.train.total_batch_size=2",
        "train.max_iter=6",
        "train.log_period=1",
        "train.checkpointer.period=3",
        "tracking.enabled=False",
    ]
    return lambda *overrides: make_config(*own, *overrides)
