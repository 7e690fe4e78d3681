"""What a training trains: the detector, or a model of detectron2 in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from vclr.config import Config, config_from_text
from vclr.engine.state import State, TrainState


def begin_state(config: Config, device: torch.device, checkpoint: Mapping[str, Any] | None = None) -> State:
    """Build the untrained state of a training.

    With the checkpoint that is to be loaded into it, a backbone does not need the files that it came from.

    Raises:
        UserError: the model is detectron2's, which is not installed or cannot build it.
    """
    if config.detectron2.config:
        from vclr.engine.detectron2_state import Detectron2State

        return Detectron2State(config, device)
    held = config_from_text(checkpoint["config"], "checkpoint").model.backbone.architecture if checkpoint else ""
    return TrainState(config, device, held)
