"""How many images a second the training loader makes."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice

from vclr.config import Config
from vclr.data.loader import read_batches, training_loader
from vclr.data.samples import TrainingSamples


def measure_loader(config: Config, num_workers: int, num_batches: int) -> float:
    """Return the images a second that the loader of `config` makes with `num_workers` processes.

    Nobody trains meanwhile: this is what the loader could do at most.

    Raises:
        UserError: data that cannot be used.
    """
    return config.dataloader.train.total_batch_size / time_batches(config, num_workers, num_batches)[0]


def time_batches(config: Config, num_workers: int, num_batches: int, runs: int = 1) -> list[float]:
    """Return the seconds that the loader takes for a batch, the mean of `num_batches`, in each run.

    Raises:
        UserError: data that cannot be used.
    """
    config = copy.deepcopy(config)
    loader = config.dataloader.train
    loader.num_workers = num_workers
    with closing(read_batches(training_loader(config, TrainingSamples(config)))) as batches:
        # The clock starts and stops with nothing in store.
        skip(batches, num_workers * loader.prefetch_factor + 1)
        return [_time(batches, num_batches) / num_batches for _ in range(runs)]


def _time(batches: Iterator[object], count: int) -> float:
    started = time.perf_counter()
    skip(batches, count)
    return time.perf_counter() - started


def skip(batches: Iterator[object], count: int) -> None:
    """Take batches and forget them."""
    for _ in islice(batches, count):
        pass
