"""A training's MLflow run: the training hands over its metrics and goes on; a background thread stores them."""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vclr.config import Config
from vclr.environment import describe_environment
from vclr.errors import first_line
from vclr.tracking.quiet import quiet_mlflow
from vclr.tracking.record import RUN_FILE, Point, RunRecord, now_ms, valid_key
from vclr.tracking.secrets import redact
from vclr.tracking.store import default_store
from vclr.tracking.system import sample_system

logger = logging.getLogger(__name__)

STORE_PERIOD = 1.0  # seconds between two deliveries: what a kill -9 may lose
LONGEST_RETRY = 60.0  # seconds between two attempts while the store fails
SYSTEM_PERIOD = 10.0  # seconds between two samples of the machine's load
MAX_WAITING = 200_000  # points kept while the store fails; beyond that, the oldest are dropped
FINISH_PATIENCE = 120.0  # seconds that `finish` waits for a working store; copying a checkpoint adds to it
FAILING_PATIENCE = 15.0  # the same for a store that fails: time for one last request
SLOWEST_COPY = 2e6  # bytes per second: how slow that copy may be


class TrackedRun:
    """Track one training. No method raises an error of MLflow, and only `finish` waits for it.

    What cannot be stored is retried later, with one warning for the user. `metrics.jsonl` of the run folder holds the
    same numbers, so nothing is lost if the server cannot be reached.
    """

    def __init__(
        self,
        config: Config,
        run_dir: Path,
        data_hashes: dict[str, str],
        environment: dict[str, Any] | None = None,
        resume: bool = True,
    ) -> None:
        """Start tracking in the background.

        Args:
            config: the whole configuration. If `config.tracking` is not enabled, all methods do nothing.
            run_dir: the run folder; its `mlflow_run.json` names the run to continue, or will name the new one.
            data_hashes: name of a data set or file -> its hash, stored as tags `data.<name>`.
            environment: what `describe_environment` returned for the training (default: what it returns now).
            resume: False starts a new run even if the folder names one, for a training that starts from scratch.
        """
        self._config = config
        self._run_dir = Path(run_dir)
        self._data_hashes = data_hashes
        self._environment = environment or describe_environment()
        self._record: RunRecord | None = None
        self._arrived: deque[Point] = deque(maxlen=MAX_WAITING)
        self._unstored: deque[Point] = deque(maxlen=MAX_WAITING)
        self._newest_iteration: int | None = None
        self._next_sample = 0.0
        self._has_warned = False
        self._is_failing = False
        self._is_ending = threading.Event()
        self._ending: tuple[str, Path | None] = ("FINISHED", None)
        self._thread: threading.Thread | None = None
        if config.tracking.enabled:
            if not resume:
                (self._run_dir / RUN_FILE).unlink(missing_ok=True)
            self._start()

    def log(self, metrics: dict[str, float], iteration: int) -> None:
        """Store the values of an iteration; a value of None (nothing to measure) is left out."""
        if self._thread is None:
            return
        self._arrived.extend(_points(metrics, iteration))
        self._newest_iteration = iteration

    def finish(self, status: str = "FINISHED", checkpoint: Path | None = None) -> None:
        """Store what is left and end the run as FINISHED, FAILED or KILLED; a second call does nothing.

        Args:
            status: how the training ended.
            checkpoint: its last one; stored as a copy with `tracking.log_checkpoint`, otherwise as path and sha256.
        """
        if self._thread is None:
            return
        self._ending = (status, checkpoint)
        self._is_ending.set()
        patience = FAILING_PATIENCE if self._is_failing else FINISH_PATIENCE
        if checkpoint is not None and self._config.tracking.log_checkpoint:
            patience += checkpoint.stat().st_size / SLOWEST_COPY
        self._thread.join(patience)
        if self._thread.is_alive():
            logger.warning("tracking: gave up waiting for %s", redact(self._config.tracking.uri or default_store()))
        self._thread = None

    def _start(self) -> None:
        quiet_mlflow()
        # Imported here rather than in the thread: loader workers that fork during an import inherit its locks, which
        # nobody releases.
        if not self._succeeds(lambda: importlib.import_module("mlflow")):
            return
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        delay = 0.0
        while not self._is_ending.wait(delay):
            delay = STORE_PERIOD if self._deliver() else min(max(2 * delay, STORE_PERIOD), LONGEST_RETRY)
        if self._deliver():
            self._close()
        elif self._unstored:
            logger.warning("tracking: %d values were not stored; metrics.jsonl has them", len(self._unstored))

    def _deliver(self) -> bool:
        """Store what is waiting; tell whether that succeeded."""
        self._sample()
        while self._arrived:
            self._unstored.append(self._arrived.popleft())
        self._is_failing = not self._succeeds(self._store)
        if not self._is_failing:
            self._unstored.clear()
        return not self._is_failing

    def _store(self) -> None:
        if self._record is None:
            record = RunRecord.start(self._config, self._run_dir, self._data_hashes, self._environment)
            self._record = record
            self._succeeds(lambda: record.store_description(self._config))  # a store without files still takes curves
        self._record.write(self._unstored)

    def _sample(self) -> None:
        iteration = self._newest_iteration
        if iteration is None or time.monotonic() < self._next_sample:
            return
        self._next_sample = time.monotonic() + SYSTEM_PERIOD
        self._succeeds(lambda: self._unstored.extend(_points(sample_system(), iteration)))

    def _close(self) -> None:
        (status, checkpoint), record = self._ending, self._record
        assert record is not None
        copy = self._config.tracking.log_checkpoint
        if checkpoint is not None:
            self._succeeds(lambda: record.store_checkpoint(checkpoint, copy))
        self._succeeds(lambda: record.close(status))

    def _succeeds(self, work: Callable[[], object]) -> bool:
        """Do something with MLflow and tell whether it succeeded; an error is a warning."""
        try:
            work()
        except Exception as error:
            # A warning for the first error only; the next ones are usually the same.
            level = logging.DEBUG if self._has_warned else logging.WARNING
            said = redact(f"{self._config.tracking.uri or default_store()}: {first_line(error)}")
            logger.log(level, "tracking in %s; training continues", said)
            self._has_warned = True
            return False
        return True


def _points(metrics: dict[str, float], iteration: int) -> list[Point]:
    time_ms = now_ms()
    known = {valid_key(key): float(value) for key, value in metrics.items() if value is not None}
    return [Point(key, value, iteration, time_ms) for key, value in known.items()]
