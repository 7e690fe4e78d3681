"""Measure how fast the training loader makes batches, while nobody trains: what it could do at most.

In the clock: reading photos and views, geometry, objects, and the way from the workers to a padded batch. A run is
twelve batches; `seconds` are those of one batch. Batches that were made ahead before the first run do not count. The
peak is of the main process, not of its workers.
"""

from __future__ import annotations

import statistics

import torch

from vclr.bench.measurement import Measurement
from vclr.bench.settings import Settings
from vclr.config import load_config
from vclr.data.throughput import time_batches

NUM_BATCHES = 12


def measure_batches(settings: Settings, device: torch.device) -> Measurement:
    """Time the loader of `data.train`, or of the configuration's data set; `images_per_s` is of the median run.

    Raises:
        UserError: data that cannot be used.
    """
    config = load_config(settings.config_file, settings.overrides)
    seconds = time_batches(config, settings.workers, NUM_BATCHES, settings.runs)
    batch_size = config.dataloader.train.total_batch_size
    return Measurement(seconds, {"images_per_s": batch_size / statistics.median(seconds), "batch": batch_size})
