"""Too little memory in the middle of a step, at one operation after another."""

from __future__ import annotations

import gc
from typing import Any

import torch

import vclr.engine.step as step
from tests.cuda.machine import Machine
from tests.cuda.programs.step import SMALL, draw_batch, settings
from vclr.config import load_config
from vclr.engine.state import TrainState
from vclr.losses.objective import Objective


def main(machine: Machine, dtype: str, shares: list[float]) -> dict[str, Any]:
    """Let memory run out after each share of the operations that compute losses and gradients.

    Nothing is collected but what has no reference any more, as when the collector happens not to run.

    Returns:
        `attempts`: for each share the bytes in use whenever a gradient is begun to be computed, the first time and
        again; `between`: the bytes between steps before it.
    """
    config = load_config(SMALL, settings(dtype))
    state = TrainState(config, torch.device("cuda", 0))
    objective = Objective(config.model.criterion)
    generator = torch.Generator().manual_seed(0)
    batch = draw_batch([[96, 128], [128, 96]], [5, 5], generator)
    attempts: list[int] = []
    num_operations = 0
    compute = step.compute_gradients

    def noting(*args: Any) -> Any:
        nonlocal num_operations
        attempts.append(machine.memory.live)
        before = machine.num_operations
        computed = compute(*args)
        num_operations = machine.num_operations - before
        return computed

    step.compute_gradients = noting
    for _ in range(2):
        step.training_step(state, batch, objective)
    in_one_go = num_operations
    gc.collect()
    gc.disable()
    results = []
    for share in shares:
        attempts.clear()
        between = machine.memory.live
        spend_much(state)
        machine.fails_at = machine.num_operations + int(share * in_one_go)
        step.training_step(state, batch, objective)
        results.append({"share": share, "between": between, "attempts": list(attempts)})
    return {"results": results, "notes": machine.notes.take()}


def spend_much(state: TrainState) -> None:
    """Let the next step take all images at once, as if memory had never run out."""
    state.images_at_once = 0
    for part in (state.student.encoder, state.student.decoder):
        part.use_checkpoint = False
