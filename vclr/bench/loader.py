"""Measure how fast the training loader makes batches while nobody trains: the most that it can do.

Timed: reading photos and views, geometry, objects, and the way from the workers to a padded batch. A run is twelve
batches, and `seconds` are those of one batch. Batches made ahead of the first run do not count. The peak is that of the
main process, without its workers.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import islice

import torch

from vclr.bench.measure import Measurement, time_once
from vclr.bench.settings import Settings
from vclr.config import Config, load_config
from vclr.config.dataloader import AUTO
from vclr.data.loader import TrainingLoader, read_batches
from vclr.data.samples import TrainingSamples
from vclr.errors import UsageError

NUM_BATCHES = 12


def measure_batches(settings: Settings, device: torch.device) -> Measurement:
    """Time the loader of `data.train`, or of the configuration's data set; `images_per_s` is of the median run."""
    config = load_config(settings.config_file, settings.overrides)
    if config.dataloader.train.total_batch_size == AUTO:
        raise UsageError(f"dataloader.train.total_batch_size={AUTO}: this benchmark finds no batch size; set a number")
    seconds = time_batches(config, settings.workers, NUM_BATCHES, settings.runs)
    batch_size = config.dataloader.train.total_batch_size
    return Measurement(seconds, {"images_per_s": batch_size / statistics.median(seconds), "batch": batch_size})


def time_batches(config: Config, num_workers: int, num_batches: int, runs: int = 1) -> list[float]:
    """Return the seconds per batch of each run, the mean over `num_batches`.

    Raises:
        UserError: the data cannot be used.
    """
    config = copy.deepcopy(config)
    loader = config.dataloader.train
    loader.num_workers = num_workers
    with closing(read_batches(TrainingLoader(config, TrainingSamples(config)))) as batches:
        # The clock starts and stops with nothing in store.
        skip(batches, num_workers * loader.prefetch_factor + 1)
        run = partial(skip, batches, num_batches)
        return [time_once(run, torch.device("cpu")) / num_batches for _ in range(runs)]


def skip(batches: Iterator[object], count: int) -> None:
    """Take batches and drop them."""
    for _ in islice(batches, count):
        pass
