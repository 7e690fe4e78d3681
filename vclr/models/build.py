"""From a configuration to a detector."""

from __future__ import annotations

import torch

from vclr.config import Config
from vclr.errors import UsageError
from vclr.models.detector import Detector


def build_model(config: Config) -> Detector:
    """Build a detector with fresh weights that depend on `train.seed` alone; global generators keep their state.

    Raises:
        UsageError: the configuration is of a model of detectron2, which only `open_detector` and training build.
    """
    if config.detectron2.config:
        chosen = f"detectron2.config={config.detectron2.config}"
        raise UsageError(f"{chosen}: this command is for the project's own detector alone")
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU, so no GPU and no GPU's generator is touched
        torch.default_generator.manual_seed(config.train.seed)
        return Detector(config.model)
