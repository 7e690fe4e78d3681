"""The gradient of one step on a batch that several processes share; run by test_distributed.py, once a process."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import torch

from vclr.config import load_config
from vclr.data.loader import TrainingLoader, read_batches
from vclr.data.samples import TrainingSamples
from vclr.engine.distributed import joined_processes, rank, sum_on_hosts, world_size
from vclr.engine.state import TrainState
from vclr.engine.step import apply_gradients, compute_gradients
from vclr.losses.objective import Objective


def leave_kinks(state: TrainState) -> None:
    """Move the weights off their initial values, with which points are sampled right between two cells.

    There the gradient of a location jumps, and rounding decides to which side.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in state.student.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.02)


def main(config_file: str, output: str) -> None:
    """Write the losses and gradients of two steps, and the weights of student and teacher after them; and some sums."""
    config = load_config(config_file)
    torch.set_num_threads(1)
    with joined_processes("cpu") as device:
        state = TrainState(config, device)
        leave_kinks(state)
        objective = Objective(config.model.criterion)
        loader = TrainingLoader(config, TrainingSamples(config), 0, rank(), world_size())
        steps = []
        for batch in islice(read_batches(loader), 2):
            losses = compute_gradients(state, batch, objective)
            gradients = {name: p.grad.clone() for name, p in state.student.named_parameters() if p.grad is not None}
            apply_gradients(state)
            steps.append({"losses": losses, "gradients": gradients})
        weights = {"student": state.student.state_dict(), "teacher": state.teacher.detector.state_dict()}
        sums = sum_on_hosts([1.0, 0.1 * (rank() + 1)])
        torch.save({"steps": steps, "sums": sums, **weights}, Path(output, f"{rank()}.pt"))


if __name__ == "__main__":
    main(*sys.argv[1:])
