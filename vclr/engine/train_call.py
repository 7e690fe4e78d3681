"""`vclr.train`: a training as a call in Python, with what `vclr train` guarantees."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vclr.config import load_config
from vclr.engine.launched import read_place
from vclr.engine.run_folder import RunFolder
from vclr.engine.train import OnStep
from vclr.engine.train import train as run_training
from vclr.errors import UsageError
from vclr.tracking.locate_checkpoint import as_path


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        folder: its run folder.
        checkpoint: the last checkpoint.
        iteration: the number of steps.
        records: what metrics.jsonl holds: losses (`kind` is "train") and evaluations ("eval"), in order.
    """

    folder: Path
    checkpoint: Path
    iteration: int
    records: list[dict[str, Any]]


def train(
    config_file: str | Path | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    on_step: OnStep | None = None,
    quiet: bool = True,
) -> Trained:
    """Train a detector in this process, as `vclr train` does: same run folder, tracking, checkpoints, and bits.

    It works in any thread, and again and again. In the main thread, Ctrl-C (SIGTERM, SIGUSR1, SIGUSR2) finishes the
    current step, saves, and raises `StoppedError`. Number of threads, random numbers and logging are afterwards as
    before.

    Args:
        config_file: YAML file with the settings that differ from the defaults.
        overrides: settings as `key=value`; see configs/README.md.
        resume: continue the training in `train.output_dir` exactly; start one if there is none.
        on_step: gets the number of steps taken and the weighted losses by name after each step. If it raises anything,
            the training is saved as it is then, and the error goes on to the caller; `resume` continues from there.
        quiet: show no progress.

    Raises:
        UsageError: a setting is wrong, the folder holds another training, or a launcher has started several processes.
        UserError: data or weights cannot be used, another process is training in the folder, or the disk is full.
        StoppedError: a signal asked for a stop; everything is saved.
        FloatingPointError: a loss is not finite; the step is saved, and `vclr train --replay` can take it again.
    """
    if read_place():
        raise UsageError("vclr.train: trains in this process alone; start several with `vclr train --num-gpus`")
    with _leaving_process_as_it_was():
        config = load_config(None if config_file is None else Path(config_file), list(overrides))
        if config.train.init_checkpoint:
            # The run folder records the file, so that a resumed training starts from the same one.
            config.train.init_checkpoint = str(as_path(Path(config.train.init_checkpoint), config.tracking.uri))
        run_training(config, resume=resume, quiet=quiet, on_step=on_step)
    folder = RunFolder(config)
    return Trained(folder.path, folder.checkpoints.last, folder.finished_at(), folder.records())


@contextmanager
def _leaving_process_as_it_was() -> Iterator[None]:
    """Log as the command does, and put back what a training changes for the whole process."""
    log = logging.getLogger("vclr")
    level, num_threads = log.level, torch.get_num_threads()
    log.setLevel(logging.INFO)
    try:
        # GPUs that nobody has used yet have no random numbers to put back.
        devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
        with torch.random.fork_rng(devices=list(devices)):
            yield
    finally:
        log.setLevel(level)
        if torch.get_num_threads() != num_threads:
            torch.set_num_threads(num_threads)
