"""A training's MLflow run: training says what happened and goes on; a thread beside it does the storing."""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from vclr.config import Config
from vclr.environment import describe_environment
from vclr.tracking.quiet import quiet_mlflow
from vclr.tracking.record import RUN_FILE, Point, RunRecord, now_ms, valid_key
from vclr.tracking.system import sample_system

logger = logging.getLogger(__name__)

STORE_PERIOD = 1.0  # seconds between two deliveries: what a kill -9 may lose
LONGEST_RETRY = 60.0  # seconds between two attempts while the store fails
SYSTEM_PERIOD = 10.0  # seconds between two samples of the machine's load
MAX_WAITING = 200_000  # points kept while the store fails; then the oldest go
FINISH_PATIENCE = 120.0  # seconds that `finish` waits for a store that works, longer only to copy a checkpoint
FAILING_PATIENCE = 15.0  # the same for one that fails: a last attempt of one request
SLOWEST_COPY = 2e6  # bytes per second that such a copy is given


class TrackedRun:
    """Track one training. No method raises for what goes wrong in MLflow, and none waits for it but `finish`.

    What cannot be stored is tried again later, with one warning for the user. `metrics.jsonl` of the run folder holds
    the same numbers, so an unreachable server loses nothing for good.
    """

    def __init__(self, config: Config, run_dir: Path, data_hashes: dict[str, str], environment: dict[str, Any]) -> None:
        self._config = config
        self._run_dir = run_dir
        self._data_hashes = data_hashes
        self._environment = environment
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

    @classmethod
    def open(
        cls,
        config: Config,
        run_dir: Path,
        data_hashes: dict[str, str],
        environment: dict[str, Any] | None = None,
        resume: bool = True,
    ) -> TrackedRun:
        """Start tracking in the background.

        Args:
            config: everything; `config.tracking` says whether and where. Not enabled: all methods do nothing.
            run_dir: the run folder; its `mlflow_run.json` names the run that is continued, or will name the new one.
            data_hashes: name of a data set or file -> its hash, stored as tags `data.<name>`.
            environment: what `describe_environment` said of the training; by default, what it says now.
            resume: False starts a new run whatever the folder names, for a training that begins from the start.
        """
        run = cls(config, Path(run_dir), data_hashes, environment or describe_environment())
        if config.tracking.enabled:
            if not resume:
                (run._run_dir / RUN_FILE).unlink(missing_ok=True)
            run._start()
        return run

    def log(self, metrics: dict[str, float], iteration: int) -> None:
        """Store the values of an iteration; a value of None (nothing to measure) is left out."""
        if self._thread is None:
            return
        time_ms = now_ms()
        self._arrived.extend(
            Point(valid_key(key), float(value), iteration, time_ms)
            for key, value in metrics.items()
            if value is not None
        )
        self._newest_iteration = iteration

    def finish(self, status: str = "FINISHED", checkpoint: Path | None = None) -> None:
        """Store what is left and end the run as FINISHED, FAILED or KILLED; a second call does nothing.

        Args:
            status: how the training ended.
            checkpoint: its last checkpoint: stored as a copy with `tracking.log_checkpoint`, else as path and sha256.
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
            logger.warning("tracking: gave up waiting for %s", self._config.tracking.uri)
        self._thread = None

    def _start(self) -> None:
        try:
            quiet_mlflow()
            # Imported here rather than in the thread: a loader's workers that fork in the middle of an import
            # inherit its locks, which nobody releases.
            importlib.import_module("mlflow")
        except Exception as error:
            self._warn(error)
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
        """Store what waits; say whether that went well."""
        self._sample()
        while self._arrived:
            self._unstored.append(self._arrived.popleft())
        try:
            if self._record is None:
                self._record = RunRecord.start(self._config, self._run_dir, self._data_hashes, self._environment)
                self._describe(self._record)
            self._record.write(self._unstored)
        except Exception as error:
            self._warn(error)
            self._is_failing = True
            return False
        self._is_failing = False
        self._unstored.clear()
        return True

    def _describe(self, record: RunRecord) -> None:
        """Store the files that describe the run; a store that takes no files still takes the curves."""
        try:
            record.store_description(self._config)
        except Exception as error:
            self._warn(error)

    def _sample(self) -> None:
        if self._newest_iteration is None or time.monotonic() < self._next_sample:
            return
        self._next_sample = time.monotonic() + SYSTEM_PERIOD
        time_ms = now_ms()
        try:
            sample = sample_system()
        except Exception as error:
            self._warn(error)
            return
        self._unstored.extend(Point(key, value, self._newest_iteration, time_ms) for key, value in sample.items())

    def _close(self) -> None:
        status, checkpoint = self._ending
        assert self._record is not None
        try:
            if checkpoint is not None:
                self._record.store_checkpoint(checkpoint, copy=self._config.tracking.log_checkpoint)
        except Exception as error:
            self._warn(error)
        try:
            self._record.close(status)
        except Exception as error:
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        """Tell the user once; what follows is the same story."""
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        logger.log(
            logging.DEBUG if self._has_warned else logging.WARNING,
            "tracking in %s: %s; training goes on",
            self._config.tracking.uri,
            reason,
        )
        self._has_warned = True
