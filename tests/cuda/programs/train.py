"""Whole trainings, as `vclr train` does them: loader, checkpoints, evaluation on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vclr.engine.train as training
from tests.cuda.machine import Machine
from vclr.config import load_config


def main(machine: Machine, trainings: list[tuple[str, list[str]]]) -> dict[str, Any]:
    """Train once for each file of settings and overrides, one after another; those after the first resume.

    Returns:
        `steps`: the notes of each iteration, from the end of the step before to the end of its own.
        `touched`: the GPUs that were used.
    """
    steps: list[dict[str, Any]] = []
    training.training_step = noting(machine, training.training_step, steps)
    for number, (config_file, overrides) in enumerate(trainings):
        training.train(load_config(config_file, overrides), resume=number > 0, quiet=True)
        machine.notes.take()
    return {"steps": steps, "touched": sorted(machine.touched)}


def noting(machine: Machine, step: Callable[..., Any], steps: list[dict[str, Any]]) -> Callable[..., Any]:
    """Return the step, which then adds to a list what was noted until its end."""

    def noted(state: Any, *args: Any) -> Any:
        losses = step(state, *args)
        steps.append({"iteration": state.iteration, **machine.notes.take()})
        return losses

    return noted
