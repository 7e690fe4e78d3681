"""The pretended GPU, and the settings of a small training on it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cuda.build import CannotBuildError, build
from tests.cuda.start import Programs
from vclr.config import Config, dump_config


@pytest.fixture(scope="session")
def on_gpu(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """Return what runs programs on the pretended GPU."""
    try:
        build()
    except CannotBuildError as reason:
        pytest.skip(str(reason))
    return Programs(tmp_path_factory.mktemp("programs"))


@pytest.fixture(scope="session")
def write_settings(make_config: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Return what writes the settings of a small training on the GPU, changed by overrides, to a file.

    Images are of different sizes, all that is drawn is drawn, and the crop loses objects.
    """
    own = [
        "dataloader.train.total_batch_size=2",
        "dataloader.train.num_workers=1",
        "dataloader.train.mapper.short_edge_length=[48,64,80]",
        "dataloader.train.mapper.crop_probability=0.5",
        "dataloader.train.mapper.crop_short_edge_length=[64]",
        "dataloader.train.mapper.crop_size=[32,64]",
        "dataloader.test.mapper.short_edge_length=64",
        "dataloader.test.batch_size=2",
        "views.corrupt={mix: True, erase: True, grayscale: True}",
        "model.num_queries=20",
        "model.criterion.num_points=64",
        "train.device=cuda",
        "train.max_iter=20",
        "optimizer.milestones=[]",
        "train.log_period=1",
        "train.eval_period=10",
        "train.checkpointer.period=10",
        "tracking.enabled=False",
    ]

    def write(*overrides: str) -> str:
        folder = tmp_path_factory.mktemp("training")
        config = make_config(*own, f"train.output_dir={folder}/run", *overrides)
        (folder / "settings.yaml").write_text(dump_config(config), encoding="utf-8")
        return str(folder / "settings.yaml")

    return write
