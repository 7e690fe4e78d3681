"""Trainings of six steps on the small toy world."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vclr.config import Config


@pytest.fixture(scope="session")
def make_config(make_config: Callable[..., Config]) -> Callable[..., Config]:
    """Return the demo's settings for six steps, changed by overrides."""
    own = [
        "dataloader.train.mapper.short_edge_length=[64]",
        "dataloader.test.mapper.short_edge_length=64",
        "dataloader.train.total_batch_size=2",
        "model.num_queries=20",
        "model.criterion.num_points=64",
        "train.max_iter=6",
        "optimizer.milestones=[]",
        "train.log_period=1",
        "train.checkpointer.period=3",
        "train.device=cpu",
        "tracking.enabled=False",
    ]
    return lambda *overrides: make_config(*own, *overrides)
