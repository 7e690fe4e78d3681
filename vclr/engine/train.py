"""Training: one loop, from the first iteration or the last checkpoint to the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any

import torch

from vclr.config import Config
from vclr.config.checks import check_processes
from vclr.data.loader import TrainingLoader, read_batches
from vclr.data.readiness import check_experiment
from vclr.data.samples import TrainingSamples
from vclr.device import describe_device, float32_precision
from vclr.engine.batch_size import with_batch_size
from vclr.engine.between_steps import ends_early, evaluate, is_evaluated, save, show_batch
from vclr.engine.data_hashes import describe_inputs, hash_training_data
from vclr.engine.distributed import joined_processes, on_first_process, rank, wait_for_all, world_size
from vclr.engine.ending import naming_causes, recording_failure
from vclr.engine.journal import Journal, keeping_log
from vclr.engine.missing_views import MissingViews
from vclr.engine.replay import keep_for_replay
from vclr.engine.run_folder import RunFolder
from vclr.engine.same_training import hash_run
from vclr.engine.signals import EXIT_CODES, StoppedError, StopSignals
from vclr.engine.state import State, TrainState
from vclr.engine.step import training_step
from vclr.engine.trained import begin_state
from vclr.environment import describe_environment
from vclr.losses.objective import Objective
from vclr.structures import Batch
from vclr.tracking.run import TrackedRun
from vclr.tracking.run_files import FAILED, RunFiles

log = logging.getLogger("vclr.train")


OnStep = Callable[[int, dict[str, float]], object]  # gets the number of steps taken, and the weighted losses by name


def train(
    config: Config,
    resume: bool = False,
    quiet: bool = False,
    unattended: bool = False,
    on_step: OnStep | None = None,
) -> None:
    """Train a detector and write everything to `train.output_dir`, on the first process alone.

    Args:
        config: the experiment.
        resume: continue the training in the folder exactly; start one if there is none.
        quiet: no progress.
        unattended: run as a job: if `resume` finds another training, move it aside (see `RunFolder.open`).
        on_step: is called after each step. If it raises anything, that ends the training, and everything is saved.

    Raises:
        UsageError: the folder holds another training.
        UserError: data or weights cannot be used, another process is training in the folder, or the disk is full.
        StoppedError: a signal asked for a stop; everything is saved.
        FloatingPointError: a loss is not finite; the step is saved, and `vclr train --replay` can take it again.
    """
    if config.train.num_threads:
        torch.set_num_threads(config.train.num_threads)
    with joined_processes(config.train.device) as device, StopSignals() as signals, ExitStack() as stack:
        stack.enter_context(float32_precision(config.train.tf32))
        kept = stack.enter_context(keeping_log())
        folder, checkpoint = open_folder(config, resume, unattended, stack)
        if checkpoint and on_first_process(folder.is_done):
            log.info("%s: %s", folder.path, folder.say_finished())
            return
        samples = TrainingSamples(config)
        config = with_batch_size(config, samples, device, checkpoint, lambda: signals.check(None), quiet)
        folder.config = config
        state = begin_state(config, device, checkpoint)
        averages = restore(state, checkpoint)
        del checkpoint  # as large as the training itself
        missing = MissingViews(samples.views.count_missing())
        loader = TrainingLoader(config, samples, state.iteration, rank(), world_size(), device)
        with (
            open_journal(folder, state, averages, quiet, kept, missing, resume) as journal,
            closing(read_batches(loader)) as batches,
            naming_causes(),  # before the loader closes, which may take a while
        ):
            where = describe_device(device, config.train.device)
            log.info("training on %s; %s", where, state.say_schedule())
            if rank() == 0 and (said := samples.say_costs()):
                log.info("%s", said)
            run_iterations(state, batches, folder, journal, signals, missing, on_step)
        if rank() == 0:
            folder.mark_done(state.iteration)


def is_finished(config: Config) -> bool:
    """Return whether this training, with these settings and data, is finished."""
    folder = RunFolder(config)
    folder.data_hashes = hash_training_data(config)
    return folder.is_finished()


def open_folder(
    config: Config, resume: bool, unattended: bool, stack: ExitStack
) -> tuple[RunFolder, dict[str, Any] | None]:
    """Check the experiment, and open its run folder.

    Returns:
        The folder, locked by the first process until the stack closes, and the checkpoint to resume from.
    """
    folder, checkpoint = RunFolder(config), None

    def open_first() -> bool:
        nonlocal checkpoint
        check_processes(config, world_size())
        begins = not (resume and folder.checkpoints.exist())
        check_experiment(config, needs_first_weights=begins, reads_training_set=False)
        folder.data_hashes = hash_training_data(config)
        checkpoint = stack.enter_context(folder).open(resume, unattended)
        return checkpoint is not None

    goes_on = on_first_process(open_first)
    return folder, folder.load_checkpoint() if goes_on and rank() else checkpoint


def restore(state: State, checkpoint: dict[str, Any] | None) -> dict[str, Any] | None:
    """Load the checkpoint or the first weights into a state; return the journal's part of the checkpoint."""
    if checkpoint:
        state.load_state_dict(checkpoint)
        log.info("continuing from iteration %d", state.iteration)
        return checkpoint.get("journal")
    if state.config.train.init_checkpoint:
        state.initialize(state.config.train.init_checkpoint)
    return None


@contextmanager
def open_journal(
    folder: RunFolder,
    state: State,
    averages: dict[str, Any] | None,
    quiet: bool,
    kept: MemoryHandler,
    missing: MissingViews,
    resume: bool,
) -> Iterator[Journal | None]:
    """Prepare the folder for training, and yield the journal on the first process, None on the others."""
    if rank():
        yield None
        return
    folder.done.unlink(missing_ok=True)
    folder.write_description(describe_environment(state.device))
    training = hash_run(state.config, folder.data_hashes)
    # Without a checkpoint, the same training may have been killed before its first one.
    continues = state.iteration > 0 or (resume and RunFiles(folder.path).is_of(training))
    folder.keep_records(state.iteration, continues)
    inputs = describe_inputs(state.config, folder.data_hashes)
    tracked = TrackedRun(state.config, folder.path, training, inputs, continues)
    with (
        Journal(folder, state.config, state.iteration, quiet, kept, missing, tracked) as journal,
        recording_failure(lambda: tracked.record_end(FAILED)),
    ):
        if averages:
            journal.load_state_dict(averages)
        yield journal


def run_iterations(
    state: State,
    batches: Iterator[Batch],
    folder: RunFolder,
    journal: Journal | None,
    signals: StopSignals,
    missing: MissingViews,
    on_step: OnStep | None = None,
) -> None:
    """Take steps until `train.max_iter` or an early end, with checkpoints and evaluations along the way."""
    config = state.config.train
    take_step = choose_step(state, folder.path)
    while True:
        stop_or_evaluate(state, folder, journal, signals)
        if ends_early(state, folder, journal) or state.iteration == config.max_iter:
            return
        started = time.perf_counter()
        batch = next(batches)
        data_seconds = time.perf_counter() - started
        lr = state.optimizer.param_groups[-1]["lr"]
        try:
            losses = take_step(batch)
        except FloatingPointError:
            raise
        except Exception:
            if signals.requested and config.compile and world_size() == 1:
                continue  # the signal that ended the compiler, and so the step, also asks this process to stop
            raise
        missing.count(batch)
        if journal:
            journal.step(state, losses, lr, data_seconds)
        show_batch(state, journal, batch)
        if on_step:
            with saving_if_it_fails(state, folder, journal):
                on_step(state.iteration, dict(losses))
        if state.iteration == config.max_iter or state.iteration % config.checkpointer.period == 0:
            save(state, folder, journal)


@contextmanager
def saving_if_it_fails(state: State, folder: RunFolder, journal: Journal | None) -> Iterator[None]:
    """Save everything before an error of the block ends the training."""
    try:
        yield
    except BaseException:
        save(state, folder, journal)
        raise


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


def stop_or_evaluate(state: State, folder: RunFolder, journal: Journal | None, signals: StopSignals) -> None:
    """Stop if a process received a signal; otherwise evaluate every `train.eval_period` iterations.

    Raises:
        StoppedError: there was a signal, possibly during the evaluation; everything is saved.
    """
    try:
        signals.stop_together(state.iteration)
        if is_evaluated(state):
            evaluate(state, journal, signals)
    except StoppedError:
        save(state, folder, journal)
        wait_for_all()
        raise
    except SystemExit as told:  # the first process stops; launchers end the remaining ones when one leaves
        if told.code in EXIT_CODES.values():
            wait_for_all()
        raise
