"""Draws of missing views are counted over all steps, also over a stop, in metrics.jsonl."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.engine.same import assert_same_training, checkpoint, records
from vclr.config import Config
from vclr.data.sampler import EpochSampler
from vclr.data.samples import TrainingSamples
from vclr.engine.train import train

MakeConfig = Callable[..., Config]


def test_draws_are_counted_and_resume_is_exact(world: Path, make_config: MakeConfig, tmp_path: Path):
    shutil.copytree(world / "views/toy/depth", tmp_path / "depth")
    for path in sorted((tmp_path / "depth").glob("*.png"))[::2]:
        path.unlink()

    def configure(name: str, *overrides: str) -> Config:
        own = f"data.train.views.depth={tmp_path}/depth", "views.missing=skip"
        return make_config(f"train.output_dir={tmp_path}/{name}", "train.log_period=3", *own, *overrides)

    config = configure("straight")
    train(config, quiet=True)
    samples = TrainingSamples(config)
    batches = iter(EpochSampler(len(samples), 2, config.train.seed, kinds=samples.images.is_wide()))
    keys = [key for _ in range(6) for key in next(batches)]
    drawn = [samples.draw(*key).missing_view == "depth" for key in keys]

    logged = records(tmp_path / "straight")
    counts = [record["views/depth_missing_draws"] for record in logged]
    assert counts == [sum(drawn[:6]), sum(drawn)] and counts[-1] > 0
    assert {record["views/depth_missing_photos"] for record in logged} == {samples.views.count_missing()["depth"]}
    view = f"view depth: {samples.views.count_missing()['depth']} of {len(samples)} photos have no file; "
    assert view in (tmp_path / "straight/log.txt").read_text()

    train(configure("stopped", "train.max_iter=3"), quiet=True)
    train(configure("stopped"), resume=True, quiet=True)
    assert_same_training(tmp_path / "straight", tmp_path / "stopped")
    assert checkpoint(tmp_path / "stopped")["journal"]["missing_views"] == {"depth": sum(drawn)}


def test_complete_views_leave_no_trace(make_config: MakeConfig, tmp_path: Path):
    train(make_config(f"train.output_dir={tmp_path}/run", "train.max_iter=1", "views.missing=photo"), quiet=True)
    assert not any("missing" in key for record in records(tmp_path / "run") for key in record)
    assert "missing_views" not in checkpoint(tmp_path / "run")["journal"]
