"""One training step, from a batch to the moved teacher (METHOD section 3)."""

from __future__ import annotations

import math

import numpy as np
import torch

from vclr.data.corrupt import corrupt
from vclr.data.loader import pad_masks
from vclr.engine.state import TrainState
from vclr.losses.consistency import ConsistencyCriterion
from vclr.losses.criterion import Criterion
from vclr.ops.device import autocast
from vclr.structures import Batch, to_device


def training_step(
    state: TrainState, batch: Batch, detection: Criterion, consistency: ConsistencyCriterion
) -> dict[str, float]:
    """Take one optimizer step (METHOD section 3) and return the weighted losses by name."""
    config, student = state.config, state.student
    device = student.pixel_mean.device
    batch, like_reference = to_device(batch, device), config.compat.padding
    generator = seed_step(config.train.seed, state.iteration)
    images = student.normalize(batch.images, batch.image_sizes)
    images = corrupt(images, batch.image_sizes, config.views.corrupt, student.pixel_mean, student.pixel_std, generator)
    targets = batch.targets
    if like_reference:
        targets = [pad_masks(target, (images.shape[2], images.shape[3])) for target in targets]
    num_boxes = max(1.0, float(sum(len(target) for target in batch.targets)))
    with autocast(config.train.amp.dtype if config.train.amp.enabled else "float32", device):
        outputs = student(images, batch.image_sizes, pads_like_reference=like_reference)
        if consistency.weight:
            assert state.teacher is not None  # load_config sees to it
            natural = student.normalize(batch.natural, batch.image_sizes)
            taught = state.teacher(natural, batch.image_sizes, like_reference)
    losses, indices = detection(outputs, targets, num_boxes)
    if consistency.weight:
        losses |= consistency(outputs, indices, taught, targets)
    values = {name: loss.item() for name, loss in losses.items()}
    check_finite(values, state.iteration, batch)
    state.scaler.scale(torch.stack(list(losses.values())).sum()).backward()
    if config.train.clip_grad.enabled:
        state.scaler.unscale_(state.optimizer)
        clip = config.train.clip_grad.params
        torch.nn.utils.clip_grad_norm_(student.parameters(), clip.max_norm, clip.norm_type)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)  # now, so that gradients take no memory in the next forward pass
    if state.teacher:
        state.teacher.update(student)
    state.scheduler.step()
    state.iteration += 1
    return values


def seed_step(seed: int, iteration: int) -> torch.Generator:
    """Seed every generator that a step draws from by (seed, iteration), so that a resumed run draws the same."""
    step_seed = int(np.random.SeedSequence([seed, iteration]).generate_state(1, np.uint64)[0] >> 1)
    torch.manual_seed(step_seed)
    return torch.Generator().manual_seed(step_seed)


def check_finite(losses: dict[str, float], iteration: int, batch: Batch) -> None:
    """Stop a diverged training.

    Raises:
        FloatingPointError: names the losses and the images.
    """
    broken = [name for name, value in losses.items() if not math.isfinite(value)]
    if broken:
        images = ", ".join(str(target.image_id) for target in batch.targets)
        raise FloatingPointError(f"iteration {iteration}: {', '.join(broken)} not finite on images {images}")
