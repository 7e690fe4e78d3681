"""`dataloader.train.total_batch_size=auto`: find the largest batch that fits into memory before the first step.

On a GPU, steps with more and more images are tried until memory runs out. On a CPU, the system would kill the process
instead, so the memory of each step is measured, and a larger one tried only if that says that it fits.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from vclr.config import Config, config_from_text
from vclr.config.dataloader import AUTO
from vclr.data.samples import TrainingSamples
from vclr.engine.memory import ADVICE, forget_attempt
from vclr.engine.trial import Trial
from vclr.errors import UsageError, UserError
from vclr.host_memory import available_bytes, forget_peak, peak_process_bytes, process_bytes
from vclr.progress import Progress

log = logging.getLogger("vclr.train")

LARGEST = 1024  # no larger batch is tried
# Share of the free memory that is left: for other shapes, fragments and, on a CPU, the loader and other programs.
GPU_MARGIN, CPU_MARGIN = 0.1, 0.2

Fits = Callable[[int], bool]


def with_batch_size(
    config: Config,
    samples: TrainingSamples,
    device: torch.device,
    checkpoint: dict[str, Any] | None,
    between_trials: Callable[[], None],
    quiet: bool = False,
) -> Config:
    """Return the configuration with a number in place of `auto`: that of the checkpoint, or the largest that fits.

    Args:
        config: the experiment; it is returned as it is if it has a number.
        samples: its training set.
        device: where it trains.
        checkpoint: what the training continues from.
        between_trials: called before every trial; what it raises ends the search.
        quiet: show no progress.

    Raises:
        UserError: not even the smallest batch fits.
    """
    if config.dataloader.train.total_batch_size != AUTO:
        return config
    recorded = config_from_text(checkpoint["config"], "checkpoint") if checkpoint else config
    number = recorded.dataloader.train.total_batch_size
    if number == AUTO:
        unit = config.dataloader.train.group_size or 1
        number = find_batch_size(config, samples, device, between_trials, quiet, unit)
        gc.collect()  # optimizer and schedule of the trials refer to each other
        forget_attempt(device)
    loader = replace(config.dataloader.train, total_batch_size=number)
    return replace(config, dataloader=replace(config.dataloader, train=loader))


def find_batch_size(
    config: Config,
    samples: TrainingSamples,
    device: torch.device,
    between_trials: Callable[[], None] = lambda: None,
    quiet: bool = False,
    unit: int = 1,
) -> int:
    """Return the largest multiple of `unit` images whose training step fits into the memory of the device.

    Nothing that the training depends on is changed: the trial steps belong to a training of their own.

    Raises:
        UsageError: the training set has fewer than `unit` images.
        UserError: not even `unit` images fit.
    """
    most = min(len(samples), LARGEST) // unit * unit
    if not most:
        raise UsageError(
            f"dataloader.train.group_size={unit}: {AUTO} finds no batch of whole groups, since the training set has "
            f"only {len(samples)} images; set a smaller group size, or a number"
        )
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        trial = Trial(config, samples, device)
        progress = Progress("finding the batch size", most, quiet=quiet)

        def fits(num_images: int) -> bool:
            between_trials()
            progress.say(f"trying {num_images}")
            is_enough = trial.fits(num_images)
            if is_enough:
                progress.set(num_images, most)
            return is_enough

        try:
            number = (_search_gpu if device.type == "cuda" else _search_cpu)(fits, unit, most, device)
        finally:
            progress.close()
    tried = "{}x{}".format(*trial.image_size)
    if not number:
        raise UserError(f"dataloader.train.total_batch_size={AUTO}: out of memory with {unit} of {tried}; {ADVICE}")
    why = f"the most that fit, tried with {tried} pixels and {trial.num_objects} objects each"
    if number == most:
        why = "no more are in the training set" if most < LARGEST else "no more are tried"
    log.info("dataloader.train.total_batch_size=%s: %d images per step (%s)", AUTO, number, why)
    return number


def _search_gpu(fits: Fits, unit: int, most: int, device: torch.device) -> int:
    """Search with a part of the GPU's memory taken away, which the training then has left."""
    margin = int(GPU_MARGIN * torch.cuda.mem_get_info(device)[0])
    taken = torch.empty(margin, dtype=torch.uint8, device=device)
    number = largest_that_fits(fits, unit, most)
    del taken
    return number


def largest_that_fits(fits: Fits, unit: int, most: int) -> int:
    """Return the largest multiple of `unit` up to `most` (one itself) that fits; 0 if none does."""
    low, high = 0, unit
    while fits(high):
        if high == most:
            return most
        low, high = high, min(2 * high, most)
    while high - low > unit:  # `low` fits, `high` does not
        middle = (low + high) // (2 * unit) * unit
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _search_cpu(fits: Fits, unit: int, most: int, device: torch.device) -> int:
    """Enlarge the batch, to twice as many images at most, while the memory per image so far says that there is room.

    That memory includes what is needed only once, so it is too large, but less and less so, and never too small.
    """
    start = process_bytes()
    limit = start + (1 - CPU_MARGIN) * available_bytes()
    number, larger = 0, unit
    while larger > number:
        forget_peak()
        if not fits(larger):
            break
        peak = peak_process_bytes()
        if number and peak > limit:
            break
        number = larger
        room = int((limit - peak) / max(1.0, (peak - start) / number))
        larger = min(2 * number, number + room, most) // unit * unit
    return number
