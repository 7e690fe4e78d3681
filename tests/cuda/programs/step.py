"""Training steps on random photos: what the host waits for, kernels, losses, memory."""

from __future__ import annotations

import traceback
from typing import Any

import torch

from tests.cuda.machine import Machine
from vclr.config import load_config
from vclr.data.batches import collate
from vclr.data.samples import Sample
from vclr.engine.state import TrainState
from vclr.engine.step import training_step
from vclr.generate.random_scenes import random_photo, random_target
from vclr.losses.objective import Objective
from vclr.structures import Batch

SMALL = "configs/small_detector.yaml"


def settings(dtype: str) -> list[str]:
    """Return what all programs train with."""
    mixed = [] if dtype == "float32" else ["train.amp.enabled=True", f"train.amp.dtype={dtype}"]
    return ["model.num_queries=50", "dataloader.train.total_batch_size=2", *mixed]


def draw_batch(sizes: list[list[int]], num_objects: list[int], generator: torch.Generator) -> Batch:
    """Draw images as the loader hands them over: in pinned memory."""
    samples = []
    for (height, width), number in zip(sizes, num_objects, strict=True):
        image, natural = (random_photo((height, width), generator) for _ in range(2))
        samples.append(Sample(image, natural, random_target((height, width), number, generator), view="random"))
    return collate(samples, pin_memory=True)


def main(machine: Machine, variants: dict[str, dict[str, Any]], **options: Any) -> dict[str, Any]:
    """Return what `take_steps` does for each variant with the options, or the error that it raised."""
    results: dict[str, Any] = {}
    for name, of_variant in variants.items():
        try:
            results[name] = take_steps(machine, **of_variant, **options)
        except Exception:
            results[name] = {"error": traceback.format_exc()}
    return results


def take_steps(
    machine: Machine,
    sizes: list[list[int]],
    dtype: str = "float32",
    num_objects: tuple[int, int] = (5, 5),
    config_file: str = SMALL,
    overrides: tuple[str, ...] = (),
    num_steps: int = 2,
    device: str = "cuda",
) -> dict[str, Any]:
    """Return the losses of each step, and the notes of the last, when what is kept by size has been computed."""
    config = load_config(config_file, [*settings(dtype), *overrides])
    state = TrainState(config, torch.device(device))
    objective = Objective(config.model.criterion)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(num_steps):
        batch = draw_batch(sizes, list(num_objects), generator)
        machine.notes.take()
        losses.append(training_step(state, batch, objective))
    return {"losses": losses, "notes": machine.notes.take()}
