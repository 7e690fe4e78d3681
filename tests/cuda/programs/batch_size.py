"""A training whose batch size is found on a GPU with little memory."""

from __future__ import annotations

from typing import Any

import vclr.engine.train as training
from tests.cuda.machine import Machine
from vclr.config import load_config


def main(machine: Machine, config_file: str, overrides: list[str], capacity: int) -> dict[str, Any]:
    """Train.

    Returns:
        `steps`: the peak of memory in each step, and whether it was taken with all images at once.
        `notes`: of the whole training.
    """
    machine.memory.capacity = capacity
    step = training.training_step
    steps: list[dict[str, Any]] = []

    def noting(state: Any, *args: Any) -> Any:
        machine.memory.peak = machine.memory.live
        losses = step(state, *args)
        steps.append({"peak": machine.memory.peak, "is_whole": state.images_at_once == 0})
        return losses

    training.training_step = noting
    training.train(load_config(config_file, overrides), quiet=True)
    return {"steps": steps, "notes": machine.notes.take()}
