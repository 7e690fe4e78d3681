"""What a training trains: the detector, or a model of detectron2 in its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from vclr.config import Config
from vclr.engine.replay import keep_for_replay
from vclr.engine.state import State, TrainState
from vclr.engine.step import training_step
from vclr.losses.objective import Objective
from vclr.structures import Batch


def begin_state(config: Config, device: torch.device) -> State:
    """Build the untrained state of a training.

    Raises:
        UserError: the model is detectron2's, which is not installed or cannot build it.
    """
    if config.detectron2.config:
        from vclr.engine.detectron2_state import Detectron2State

        return Detectron2State(config, device)
    return TrainState(config, device)


def choose_step(state: State, folder: Path) -> Callable[[Batch], dict[str, float]]:
    """Return what takes a step of a state on a batch, and returns its losses.

    If a step of the detector is not finite, it is kept in the run folder `folder` for `vclr train --replay`.
    """
    if not isinstance(state, TrainState):
        from vclr.engine.detectron2_state import Detectron2State

        assert isinstance(state, Detectron2State)
        return state.step
    objective = Objective(state.config.model.criterion)

    def take_step(batch: Batch) -> dict[str, float]:
        try:
            return training_step(state, batch, objective)
        except FloatingPointError as error:
            raise keep_for_replay(error, state, batch, folder) from None

    return take_step
