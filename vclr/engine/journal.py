"""The reports of a training: metrics.jsonl, log.txt, the console, and the tracked run."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import MemoryHandler
from typing import Any

from vclr.catalog.weights import name_metrics
from vclr.config import Config
from vclr.engine.missing_views import MissingViews
from vclr.engine.run_folder import RunFolder
from vclr.engine.signals import StoppedError
from vclr.engine.state import State
from vclr.errors import UserError
from vclr.evaluation.caps import format_metrics
from vclr.evaluation.tally import Metrics
from vclr.other_work import OtherWork
from vclr.progress import Progress
from vclr.tracking.run import TrackedRun
from vclr.tracking.run_files import FAILED, FINISHED, KILLED, RunFiles
from vclr.tracking.system import sample_system

log = logging.getLogger("vclr.train")


@contextmanager
def keeping_log() -> Iterator[MemoryHandler]:
    """Keep what is logged before a journal opens, which writes it to log.txt."""
    kept = MemoryHandler(sys.maxsize, flushLevel=sys.maxsize, flushOnClose=False)
    logging.getLogger("vclr").addHandler(kept)
    try:
        yield kept
    finally:
        logging.getLogger("vclr").removeHandler(kept)


class Journal:
    """Average the values that a training reports, and write them every `train.log_period` iterations and at the end.

    With early stopping, each evaluation may be the end.

    Attributes:
        evaluated: the records of the evaluations that are written, by iteration.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: Config,
        iteration: int,
        quiet: bool,
        kept: MemoryHandler,
        missing: MissingViews,
        tracked: TrackedRun,
    ) -> None:
        self.missing = missing
        self.last = config.train.max_iter
        self.periods = [self.last, config.train.log_period]  # an iteration of one is written
        if config.train.early_stopping.patience:
            self.periods.append(config.train.eval_period)
        records = folder.records()
        self.evaluated = {record["iteration"]: record for record in records if record["kind"] == "eval"}
        # Iterations that were recorded before a kill are repeated, but not recorded again.
        self.recorded = {record["iteration"] for record in records if record["kind"] == "train"}
        self.recorded_until = max(self.recorded, default=0)
        self.metrics = folder.metrics.open("a", encoding="utf-8")
        self.tracked = tracked
        self.pictures = RunFiles(folder.path).pictures if tracked.is_active else None  # where to put them for MLflow
        # Without a terminal, log lines replace the progress bar.
        self.progress = Progress("training", self.last, done=iteration, quiet=quiet or not sys.stderr.isatty())
        self.handler = logging.FileHandler(folder.log, encoding="utf-8")
        self.handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        kept.setTarget(self.handler)
        kept.flush()
        logging.getLogger("vclr").removeHandler(kept)
        logging.getLogger("vclr").addHandler(self.handler)
        logging.getLogger("vclr").setLevel(logging.INFO)
        self.sums: dict[str, float] = defaultdict(float)
        self.count, self.since = 0, time.perf_counter()
        self.other_work = OtherWork()
        self.batch_size = int(config.dataloader.train.total_batch_size)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        """Close everything, and record how the training ended."""
        is_stopped = kind is not None and issubclass(kind, (StoppedError, KeyboardInterrupt))
        status = FINISHED if kind is None else KILLED if is_stopped else FAILED
        if kind is not None:
            # For the file only: the command prints it on the console.
            level = "INFO" if is_stopped else "ERROR"
            said = {"msg": f"training stopped: {str(error) or kind.__name__}", "levelname": level}
            self.handler.handle(logging.makeLogRecord(said))
        self.progress.close()
        with suppress(OSError):  # what did not fit on a full disk is still in the buffer
            self.metrics.close()
        self.tracked.finish(status)
        logging.getLogger("vclr").removeHandler(self.handler)
        with suppress(OSError):
            self.handler.close()

    def step(self, state: State, losses: dict[str, float], lr: float, data_seconds: float) -> None:
        """Report the step that has just been taken."""
        iteration = state.iteration
        for name, value in {**losses, "loss": sum(losses.values()), "data_seconds": data_seconds}.items():
            self.sums[name] += value
        self.count += 1
        self.progress.advance()
        is_repeated = iteration <= self.recorded_until
        if iteration not in self.recorded and (is_repeated or all(iteration % period for period in self.periods)):
            return
        record = {name: total / self.count for name, total in self.sums.items()}
        seconds = (time.perf_counter() - self.since) / self.count
        speed = {"step_seconds": seconds, "images_per_second": self.batch_size / seconds}
        if state.grad_norm is not None:
            record["grad_norm"] = state.grad_norm
        record |= {"lr": lr, **speed, "other_work": self.other_work.share()}
        record |= sample_system() | self.missing.record()
        if not is_repeated:
            self.write("train", iteration, record)
        remaining = record["step_seconds"] * (self.last - iteration)
        log.info(
            "iteration %d/%d loss %.3f (%.2f s per step, %.0f min left)",
            *(iteration, self.last, record["loss"], record["step_seconds"], remaining / 60),
        )
        self.progress.say(f"loss {record['loss']:.3f}")
        self._begin_record()

    def _begin_record(self) -> None:
        self.sums.clear()
        self.count, self.since = 0, time.perf_counter()

    def evaluation(self, iteration: int, metrics: dict[str, Metrics]) -> None:
        """Report an evaluation: the metrics of the student and of the teacher, those without a value left out."""
        known = {
            weights: {name: value for name, value in own.items() if value is not None}
            for weights, own in metrics.items()
        }
        record = {name: value for weights, own in known.items() for name, value in name_metrics(weights, own).items()}
        self.write("eval", iteration, record)
        self.evaluated[iteration] = {"kind": "eval", "iteration": iteration, **record}
        texts = [f"{weights} {format_metrics(own)}" for weights, own in known.items()]
        log.info("iteration %d: %s", iteration, "; ".join(texts))

    def write(self, kind: str, iteration: int, record: dict[str, float]) -> None:
        """Write one record to metrics.jsonl, from where the tracked run gets it.

        Raises:
            UserError: the file cannot be written, for example because the disk is full.
        """
        facts = {"kind": kind, "iteration": iteration, "time": round(time.time(), 3)}
        try:
            self.metrics.write(json.dumps({**facts, **record}) + "\n")
            self.metrics.flush()
        except OSError as error:
            raise UserError(f"{self.metrics.name}: could not be written: {error.strerror}") from None

    def sync(self) -> None:
        """Flush the metrics to disk: a checkpoint written next relies on them."""
        os.fsync(self.metrics.fileno())

    def state_dict(self) -> dict[str, Any]:
        """Return the sums of the record that has not been written yet."""
        state = {"sums": dict(self.sums), "count": self.count, "seconds": time.perf_counter() - self.since}
        return state | self.missing.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue with the sums of `state_dict`, so that averages do not depend on where a training was stopped."""
        self.sums.update(state["sums"])
        self.count, self.since = state["count"], time.perf_counter() - state["seconds"]
        self.missing.load_state_dict(state)
