"""What a training does between its steps: save, evaluate on the way, and judge whether it goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch

from vclr.config import best_metric
from vclr.data.batch_picture import write_batch_picture
from vclr.engine.checkpoint import BestFacts
from vclr.engine.distributed import on_first_process
from vclr.engine.journal import Journal
from vclr.engine.run_folder import RunFolder
from vclr.engine.same_training import evaluation_hash
from vclr.engine.shared_evaluation import evaluate_model
from vclr.engine.signals import StopSignals
from vclr.engine.state import State
from vclr.errors import first_line
from vclr.evaluation.best import early_end
from vclr.evaluation.evaluate import open_test_set
from vclr.evaluation.examples import write_examples
from vclr.structures import Batch

log = logging.getLogger("vclr.train")


def is_evaluated(state: State) -> bool:
    """Tell whether the training evaluates at this iteration."""
    period = state.config.train.eval_period
    return period > 0 and state.iteration > 0 and state.iteration % period == 0


def evaluate(state: State, journal: Journal | None, signals: StopSignals) -> None:
    """Evaluate student and teacher on all processes and log the results on the first one, unless they are logged."""
    iteration = state.iteration
    if on_first_process(lambda: journal is not None and iteration in journal.evaluated):
        return
    samples = open_test_set(state.config)
    with torch.random.fork_rng(devices=[]):  # a loader draws a seed for its workers
        metrics = {
            weights: evaluate_model(detector, state.config, samples, signals, iteration)
            for weights, detector in state.detectors.items()
        }
    if journal:
        journal.evaluation(iteration, {weights: found for weights, found in metrics.items() if found})
        keep_picture(journal, iteration, lambda folder: write_examples(state.detectors, samples, folder))


def show_batch(state: State, journal: Journal | None, batch: Batch) -> None:
    """Let MLflow show the batch of the first step, and of each step after which the training evaluates."""
    if journal and (state.iteration == 1 or is_evaluated(state)):
        keep_picture(journal, state.iteration, lambda folder: write_batch_picture(batch, folder))


def keep_picture(journal: Journal, iteration: int, write: Callable[[Path], object]) -> None:
    """Let `write` write a picture into a folder of the run folder if the run is tracked."""
    if not journal.pictures:
        return
    try:
        write(journal.pictures / f"{iteration:08d}")
    except Exception as error:  # a full disk, too little memory: no reason to stop
        log.warning("iteration %d: no picture for MLflow: %s", iteration, first_line(error))


def ends_early(state: State, folder: RunFolder, journal: Journal | None) -> bool:
    """After an evaluation, keep the checkpoint if it is the best one, and tell whether the training ends here.

    The first process decides for all.
    """
    if not state.config.train.best_metric or not is_evaluated(state):
        return False
    return on_first_process(lambda: judge(state, folder, journal))


def judge(state: State, folder: RunFolder, journal: Journal | None) -> bool:
    """Do on the first process what `ends_early` says."""
    assert journal
    metric, iteration = best_metric(state.config), state.iteration
    value = journal.evaluated[iteration].get(metric)
    if value is None:
        log.warning(
            "train.best_metric=%s: iteration %d has no value of it; the test set may lack such objects",
            metric,
            iteration,
        )
        return False
    evaluated = BestFacts(metric, value, iteration, evaluation_hash(state.config, folder.data_hashes))
    if folder.checkpoints.is_better(evaluated):
        save(state, folder, journal)
        folder.checkpoints.keep_best(evaluated)
    is_end = early_end(journal.evaluated.values(), state.config) == iteration
    if is_end:
        log.info("iteration %d: training ends early: %s has not improved", iteration, metric)
        save(state, folder, journal)
    return is_end


def save(state: State, folder: RunFolder, journal: Journal | None) -> None:
    """Write a checkpoint on the first process, unless the last one is of this iteration."""
    if journal and folder.checkpoints.saved != state.iteration:
        journal.sync()
        folder.checkpoints.save({**state.state_dict(), "journal": journal.state_dict()})
