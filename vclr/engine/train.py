"""Training: one loop, one step."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path

import numpy as np
import torch

from vclr.config import Config
from vclr.data.catalog import missing_files, training_set
from vclr.data.corrupt import corrupt
from vclr.data.loader import pad_masks, read_batches, training_loader
from vclr.data.samples import TrainingSamples
from vclr.engine.checkpoint import save_checkpoint
from vclr.engine.journal import Journal
from vclr.engine.run_folder import RunFolder
from vclr.engine.state import TrainState
from vclr.errors import UserError
from vclr.evaluation.evaluate import evaluate_model
from vclr.files import sha256
from vclr.losses.consistency import ConsistencyCriterion
from vclr.losses.criterion import Criterion
from vclr.models.weights import read_weights
from vclr.ops.device import autocast, choose_device
from vclr.structures import Batch, to_device
from vclr.tracking.environment import describe_environment

log = logging.getLogger("vclr.train")


def train(config: Config, resume: bool = False, quiet: bool = False) -> None:
    """Train a detector and leave everything in `train.output_dir`.

    Args:
        config: the experiment.
        resume: continue the training that the folder holds, exactly; start where there is none.
        quiet: no progress.

    Raises:
        UserError: data or weights that cannot be used.
        FloatingPointError: a loss is not finite.
    """
    folder = RunFolder(config, hash_training_data(config))
    goes_on = folder.open(resume)
    if goes_on and folder.finished_at() == config.train.max_iter:
        log.info("%s: finished already", folder.path)
        return
    samples = TrainingSamples(config)
    if config.train.num_threads:
        torch.set_num_threads(config.train.num_threads)
    device = choose_device(config.train.device)
    state = TrainState(config, device)
    if goes_on:
        state.load_state_dict(read_weights(folder.last_checkpoint))
        log.info("going on from iteration %d", state.iteration)
    elif config.train.init_checkpoint:
        state.initialize(config.train.init_checkpoint)
    folder.done.unlink(missing_ok=True)
    folder.write_description(describe_environment())
    folder.forget_after(state.iteration)
    with Journal(folder, config, state.iteration, quiet) as journal:
        run_iterations(state, samples, folder, journal)
    folder.mark_done(state.iteration)


def run_iterations(state: TrainState, samples: TrainingSamples, folder: RunFolder, journal: Journal) -> None:
    """Step until `train.max_iter`, with checkpoints and evaluations on the way."""
    config, train_config = state.config, state.config.train
    detection, consistency = Criterion(config.model.criterion), ConsistencyCriterion(config.model.criterion)
    batches = read_batches(training_loader(config, samples, first_batch=state.iteration))
    while state.iteration < train_config.max_iter:
        started = time.perf_counter()
        batch = next(batches)
        data_seconds = time.perf_counter() - started
        lr = state.optimizer.param_groups[-1]["lr"]
        losses = training_step(state, batch, detection, consistency)
        journal.step(state.iteration, losses, lr, data_seconds)
        is_last = state.iteration == train_config.max_iter
        if is_last or state.iteration % train_config.checkpointer.period == 0:
            save_checkpoint(folder.checkpoints, state.state_dict(), train_config.checkpointer.max_to_keep)
        if train_config.eval_period and state.iteration % train_config.eval_period == 0:
            metrics = evaluate_model(state.student, config)
            journal.write("eval", state.iteration, {key: value for key, value in metrics.items() if value is not None})
            state.student.train()


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
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(torch.stack(list(losses.values())).sum()).backward()
    if config.train.clip_grad.enabled:
        state.scaler.unscale_(state.optimizer)
        clip = config.train.clip_grad.params
        torch.nn.utils.clip_grad_norm_(student.parameters(), clip.max_norm, clip.norm_type)
    state.scaler.step(state.optimizer)
    state.scaler.update()
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


def hash_training_data(config: Config) -> dict[str, str]:
    """Return the sha256 of what a training reads: annotations, proposals, and the manifests of image folders."""
    data_set = training_set(config)
    if problem := missing_files(data_set, "train"):
        raise UserError(problem)
    files = {"annotations": data_set.annotations, "proposals": data_set.proposals}
    folders = {"images": data_set.images, **{f"view_{view}": folder for view, folder in data_set.views.items()}}
    files |= {name: _manifest_of(folder) for name, folder in folders.items() if folder}
    return {name: sha256(path) for name, path in files.items() if path and Path(path).is_file()}


def _manifest_of(folder: str) -> str:
    """Return the manifest in an image folder, or the one beside it that is of the whole data set."""
    own = Path(folder, "manifest.json")
    return str(own if own.is_file() else Path(folder).parent / "manifest.json")
