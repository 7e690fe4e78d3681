"""Measure a whole training step, as `vclr train` takes it.

Timed: normalizing a batch of uint8 images, corrupting the student's image, student and teacher forward, matching and
all losses, backward, clipping, AdamW, the teacher's moving average, the schedule. Not timed: reading and making the
batch and copying it to a GPU, which workers and a thread do meanwhile (`vclr bench loader`), logs and checkpoints. Two
warm-up steps are not timed: the first creates the optimizer's state.

Student and teacher see different images, as with views. Weights are untrained. With several sizes
(`--size 384x512,320x480`) the images of the batch take them in turn and are padded as in training.
"""

from __future__ import annotations

import torch

from vclr.bench.measure import Measurement, time_runs
from vclr.bench.settings import Settings
from vclr.config import Config, load_config
from vclr.data.batches import collate
from vclr.data.samples import Sample
from vclr.engine.state import TrainState
from vclr.engine.step import training_step
from vclr.errors import UserError
from vclr.generate.random_scenes import random_photo, random_target
from vclr.losses.objective import Objective
from vclr.structures import Batch, to_device

NUM_WARM_UPS = 2


def measure_step(settings: Settings, device: torch.device) -> Measurement:
    """Time training steps on one batch.

    Raises:
        UserError: memory is too small for the requested step.
    """
    config = step_config(settings)
    batch = to_device(random_batch(settings), device)
    state = TrainState(config, device)
    objective = Objective(config.model.criterion)
    asked_for = _parts(state)
    seconds = time_runs(lambda: training_step(state, batch, objective), settings.runs, NUM_WARM_UPS, device)
    if _parts(state) != asked_for:
        raise UserError("out of memory: the step continued in smaller parts, which is not what was to be measured")
    skipped = NUM_WARM_UPS + settings.runs - _num_updates(state)
    return Measurement(seconds, {"skipped_steps": skipped} if state.scaler.is_enabled() else {})


def step_config(settings: Settings) -> Config:
    """Return the published settings, changed by the options."""
    options = [
        f"model.num_queries={settings.queries}",
        f"dataloader.train.total_batch_size={settings.batch}",
        f"train.micro_batch_size={settings.micro_batch}",
        f"train.amp.enabled={settings.dtype != 'float32'}",
    ]
    if settings.dtype != "float32":
        options.append(f"train.amp.dtype={settings.dtype}")
    if settings.checkpoint:
        options += [f"model.transformer.{part}.use_checkpoint=True" for part in ("encoder", "decoder")]
    return load_config(settings.config_file, [*settings.overrides, *options])


def random_batch(settings: Settings) -> Batch:
    """Draw a batch like one from the loader."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for size in settings.image_sizes:
        image, teacher_image = (random_photo(size, generator) for _ in range(2))
        target = random_target(size, settings.objects, generator)
        samples.append(Sample(image, teacher_image, target, view="random"))
    return collate(samples)


def _parts(state: TrainState) -> tuple[int, bool, bool]:
    """Return what a training changes when memory runs out (`vclr.engine.memory`)."""
    return state.images_at_once, state.student.encoder.use_checkpoint, state.student.decoder.use_checkpoint


def _num_updates(state: TrainState) -> int:
    """Count the updates of the weights: in float16, a step whose gradient overflows does not update."""
    return max((int(of_parameter["step"]) for of_parameter in state.optimizer.state.values()), default=0)
