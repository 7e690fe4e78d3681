"""The whole configuration: one dataclass per root. The published VOC -> Non-VOC experiment is these defaults, with what
its YAML file changes.

The roots `model dataloader optimizer train` carry the reference's keys; `data views proposals evaluation launcher
tracking compat detectron2` are our own. The tables of `configs/README.md` are generated from what each setting
says here.

This module imports no torch, because Snakemake reads configurations too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from vclr.config.data import DataConfig, EvaluationConfig, ProposalsConfig, ViewsConfig
from vclr.config.dataloader import DataloaderConfig
from vclr.config.detectron2 import Detectron2Config
from vclr.config.launcher import LauncherConfig, TrackingConfig
from vclr.config.model import ModelConfig
from vclr.config.setting import Changes, Setting, section, settings_of
from vclr.config.train import CompatConfig, OptimizerConfig, TrainConfig


@dataclass
class Config:
    model: ModelConfig = section(ModelConfig)
    dataloader: DataloaderConfig = section(DataloaderConfig)
    optimizer: OptimizerConfig = section(OptimizerConfig)
    train: TrainConfig = section(TrainConfig)
    data: DataConfig = section(DataConfig)
    views: ViewsConfig = section(ViewsConfig)
    proposals: ProposalsConfig = section(ProposalsConfig)
    evaluation: EvaluationConfig = section(EvaluationConfig, changes="evaluation")
    launcher: LauncherConfig = section(LauncherConfig, changes="nothing")
    tracking: TrackingConfig = section(TrackingConfig, changes="nothing")
    compat: CompatConfig = section(CompatConfig)
    detectron2: Detectron2Config = section(Detectron2Config)


def changed_by(key: str) -> Changes:
    """Return what a setting changes, by its dotted name; free keys (`data.test.views.depth`) count as their mapping."""
    declared = _declared()
    while key and key not in declared:
        key = key.rpartition(".")[0]
    return declared[key].changes


def is_as_before(key: str, value: Any) -> bool:
    """Tell whether a setting has the value of every run from before the setting existed."""
    declared = _declared()
    return key in declared and declared[key].about.before is not None and declared[key].about.before == value


@cache
def _declared() -> dict[str, Setting]:
    return {setting.key: setting for setting in settings_of(Config())}
