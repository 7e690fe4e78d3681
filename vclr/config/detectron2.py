"""Settings of the root `detectron2`: a model of detectron2 in the place of the detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vclr.config.setting import setting


@dataclass
class Detectron2Config:
    config: str = setting(
        "",
        "Take the model of this configuration of detectron2 or detrex in the place of the detector: a YAML file or a "
        "LazyConfig (`.py`) of yours, or a name of detectron2's model zoo, "
        "`COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml`. If empty, the detector of the root `model`.",
        before="",
    )
    settings: dict[str, Any] = setting(
        {},
        "Changes of that configuration, by its own keys: `detectron2.settings.SOLVER.BASE_LR=0.01`. Keys that repeat "
        "a setting of vclr are refused.",
        before={},
    )
