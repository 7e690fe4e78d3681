"""Training: one loop, from the first iteration or the last checkpoint to the end."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import torch

from vclr.config import Config
from vclr.data.catalog import missing_files, training_set
from vclr.data.loader import read_batches, training_loader
from vclr.data.samples import TrainingSamples
from vclr.engine.checkpoint import save_checkpoint
from vclr.engine.journal import Journal
from vclr.engine.run_folder import RunFolder
from vclr.engine.state import TrainState
from vclr.engine.step import training_step
from vclr.errors import UserError
from vclr.evaluation.evaluate import evaluate_model
from vclr.files import sha256
from vclr.losses.consistency import ConsistencyCriterion
from vclr.losses.criterion import Criterion
from vclr.models.weights import read_weights
from vclr.ops.device import choose_device
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
