"""From a configuration to a detector."""

from __future__ import annotations

import torch

from vclr.config import Config
from vclr.models.detector import Detector


def build_model(config: Config) -> Detector:
    """Build a detector with fresh weights that depend on `train.seed` alone; global generators stay as they were."""
    with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU: no GPU is touched, nor its generator
        torch.default_generator.manual_seed(config.train.seed)
        return Detector(config.model)
