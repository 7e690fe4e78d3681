"""Names of trainings and experiments, from their run folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from vclr.config import Config
from vclr.tracking.description import experiment_of, run_name, training_name


@pytest.mark.parametrize(
    ("folder", "name", "experiment"),
    [
        ("runs/demo/seed0", "demo/seed0", "demo"),
        ("runs/ablation/no_consistency/seed12", "ablation/no_consistency/seed12", "ablation/no_consistency"),
        ("/disk/runs/mine/runs/ablation/toy/a/seed1", "ablation/toy/a/seed1", "ablation/toy/a"),
        ("/disk/trainings/deep/demo/seed0", "demo/seed0", "demo"),  # below no `runs`
        ("/disk/runs/seed0", "runs/seed0", "runs"),
        ("/disk/runs/ablation/mine", "ablation/mine", "mine"),  # of no seed
    ],
)
def test_names_are_those_of_the_workflow(folder: str, name: str, experiment: str):
    config = Config()
    config.train.output_dir = folder
    assert (training_name(Path(folder)), run_name(config), experiment_of(config)) == (name, name, experiment)
