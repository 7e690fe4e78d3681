"""Evaluation of a detector by all processes: each counts a block of the test set, and the first one adds up."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vclr.coco.results import join_parts
from vclr.config import Config
from vclr.data.loader import list_test_batches
from vclr.data.samples import TestSamples
from vclr.engine.distributed import gather_on_first_process, on_first_process, rank, world_size
from vclr.engine.signals import StopSignals
from vclr.evaluation import provenance
from vclr.evaluation.evaluate import (
    headline_group,
    make_folder,
    make_scorer,
    open_test_set,
    part_path,
    predict_part,
    sending,
    write_metrics,
)
from vclr.evaluation.inference import predict_data_set
from vclr.evaluation.scorer import Scorer
from vclr.evaluation.tally import Metrics
from vclr.files import leaving_no_empty
from vclr.models.detector import Detector
from vclr.shards import Shard

# Batches that one process may be ahead of the others, so that they need not wait for each other after each batch.
MAX_AHEAD = 4


def evaluate(
    model: Detector,
    config: Config,
    output: Path,
    quiet: bool = False,
    checkpoint: dict[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Write `metrics.json`, `bootstrap.npz` and `predictions.json` into `output`.

    They have the same bytes, however many processes call this.

    Meanwhile each process writes to `output/.predictions.json.KofN.partial`, which the first one must see. If the same
    evaluation was stopped before, it goes on from there.

    Args:
        model: the detector.
        config: names the test set, by `evaluation.protocol`.
        output: the folder to write.
        quiet: show no progress.
        checkpoint: what `provenance.describe_checkpoint` says about the model's weights; None for an untrained model.

    Returns:
        The content of metrics.json (see `write_metrics`) on the first process, None on the others.
    """
    samples, shard = open_test_set(config), _own_shard()
    scorer, path = make_scorer(config, samples), output / "predictions.json"
    parts = [part_path(output, Shard(part, shard.count)) for part in range(1, shard.count + 1)]
    is_new = on_first_process(lambda: make_folder(output, parts))  # so that a failure is reported once
    metrics = None
    with leaving_no_empty(output, is_new):
        source = provenance.describe(config, checkpoint)
        predict_part(model, config, samples, output, source, quiet or rank() > 0, shard, scorer.add)
        if _add_up(scorer):
            join_parts(parts, path)
            metrics = write_metrics(config, samples, scorer, output, source)
            for part in parts:
                part.unlink()
    return metrics


def evaluate_model(
    model: Detector, config: Config, samples: TestSamples, signals: StopSignals, iteration: int
) -> Metrics | None:
    """Compute the headline metrics of a detector during a training; every process calls this.

    Args:
        model: the same on all processes, but for the statistics of its batch norms: those of the first process count.
        config: says what is measured.
        samples: the test set.
        signals: end the evaluation soon after one of the processes received one.
        iteration: of the training.

    Returns:
        The metrics on the first process, None on the others.

    Raises:
        StoppedError: there was a signal; the other processes exit with its code (see `on_first_process`).
    """
    shard = _own_shard()
    scorer = make_scorer(config, samples, only_headline=True)
    between_batches = _StopTogether(signals, iteration)
    receive = sending(scorer.add)
    predict_data_set(_with_first_statistics(model), config, samples, receive, True, between_batches, shard)
    most = len(list_test_batches(config, samples, Shard(world_size(), world_size())))  # the last block is the longest
    between_batches.finish(most - len(list_test_batches(config, samples, shard)))
    return scorer.metrics()[headline_group(config)] if _add_up(scorer) else None


class _StopTogether:
    """Stop all processes after the same batch if one of them received a signal."""

    def __init__(self, signals: StopSignals, iteration: int) -> None:
        self._signals, self._iteration = signals, iteration
        self._max_ahead = MAX_AHEAD if world_size() > 1 else 0
        self._waiting: deque[Callable[[int], None]] = deque()

    def __call__(self) -> None:
        """Tell the others about a signal, and stop if a process told about one some batches ago."""
        self._waiting.append(self._signals.start_to_agree())
        if len(self._waiting) > self._max_ahead:
            self._waiting.popleft()(self._iteration)

    def finish(self, num_missing: int) -> None:
        """Call this as often as a process with more batches does, and wait for all."""
        for _ in range(num_missing):
            self()
        while self._waiting:
            self._waiting.popleft()(self._iteration)


def _own_shard() -> Shard:
    return Shard(rank() + 1, world_size())


def _add_up(scorer: Scorer) -> bool:
    """Add the matches of all processes' images to the scorer of the first one; tell whether this is the first one."""
    gathered = gather_on_first_process(scorer.tallies)
    for tallies in gathered[1:]:
        scorer.merge(tallies)
    return bool(gathered)


def _with_first_statistics(model: Detector) -> Detector:
    """Return the model with the buffers of the first process, which a checkpoint holds.

    They differ between the processes if each has its own batch norm (`compat.batch_norm`).
    """
    own = {name: buffer.cpu() for name, buffer in model.named_buffers()}
    first = on_first_process(lambda: own)
    if not rank() or all(value.equal(first[name]) for name, value in own.items()):
        return model
    changed = copy.deepcopy(model)
    changed.load_state_dict(first, strict=False)
    return changed
