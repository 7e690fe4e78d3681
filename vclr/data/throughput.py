"""How many images a second the training loader makes."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
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
    config = copy.deepcopy(config)
    loader = config.dataloader.train
    loader.num_workers = num_workers
    batches = read_batches(training_loader(config, TrainingSamples(config)))
    # The clock starts and stops with nothing in store.
    skip(batches, num_workers * loader.prefetch_factor + 1)
    started = time.perf_counter()
    skip(batches, num_batches)
    return num_batches * loader.total_batch_size / (time.perf_counter() - started)


def skip(batches: Iterator[object], count: int) -> None:
    """Take batches and forget them."""
    for _ in islice(batches, count):
        pass
