"""What a training trains: the detector, or a model of detectron2 in its place."""

from __future__ import annotations

import torch

from vclr.config import Config
from vclr.engine.state import State, TrainState


def begin_state(config: Config, device: torch.device) -> State:
    """Build the untrained state of a training.

    Raises:
        UserError: the model is detectron2's, which is not installed or cannot build it.
    """
    if config.detectron2.config:
        from vclr.engine.detectron2_state import Detectron2State

        return Detectron2State(config, device)
    return TrainState(config, device)
