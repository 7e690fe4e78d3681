"""A small toy world, and trainings of six steps on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vclr.config import Config, load_config
from vclr.generate.splits import write_split
from vclr.generate.toy import write_toy_world

DEMO = Path(__file__).parents[2] / "configs" / "experiment" / "demo.yaml"


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_toy_world(root, num_train=10, num_val=4, size=64, quiet=True)
    write_split("toy_known", root / "raw/toy/annotations_train.json", root / "splits/toy_train_toy_known.json")
    return root


@pytest.fixture(scope="session")
def make_config(world: Path) -> Callable[..., Config]:
    """Return the demo's settings on the small world, changed by overrides."""
    raw, views = f"{world}/raw/toy", f"{world}/views/toy"
    own = [
        f"data.train.annotations={world}/splits/toy_train_toy_known.json",
        f"data.train.images={raw}/images",
        f"data.train.views.depth={views}/depth",
        f"data.train.views.style={views}/style",
        f"data.test.annotations={raw}/annotations_val.json",
        f"data.test.images={raw}/images",
        "data.train.proposals=''",
        "data.test.proposals=''",
        "dataloader.train.mapper.short_edge_length=[64]",
        "dataloader.test.mapper.short_edge_length=64",
        "dataloader.train.total_batch_size=2",
        "model.num_queries=20",
        "model.criterion.num_points=64",
        "train.max_iter=6",
        "train.log_period=1",
        "train.checkpointer.period=3",
        "train.device=cpu",
        "tracking.enabled=False",
    ]
    return lambda *overrides: load_config(DEMO, [*own, *overrides])
