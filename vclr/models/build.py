"""From a configuration to a detector."""

from __future__ import annotations

import torch

from vclr.config import Config
from vclr.models.detector import Detector


def build_model(config: Config) -> Detector:
    """Build a detector with fresh weights that depend on `train.seed` alone; the global generator stays as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(config.train.seed)
        return Detector(config.model)
