"""A training's run in MLflow, as the training sees it: it records start and end, and a sidecar does the rest."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import vclr
from vclr.config import Config
from vclr.environment import read_code_changes
from vclr.errors import UserError, first_line
from vclr.tracking.description import own_settings
from vclr.tracking.run_files import FINISHED, RunFiles
from vclr.tracking.secrets import redact, redact_config
from vclr.tracking.store import advise_sync, shown_address, store_of

logger = logging.getLogger(__name__)

STORE_VARIABLE = "VCLR_TRACKING_STORE"  # of the sidecar's environment: the address of the store
FINISH_PATIENCE = 10.0  # seconds that the end of a training waits for the last delivery
MAX_CHANGES = 500_000  # characters of a difference of the code; beyond that it is data
SLOWEST_UPLOAD = 2e6  # bytes per second: how slow the upload of a checkpoint may be, for which the end waits as well
RESTARTS = 5  # of a sidecar that ends before the training, for example because memory ran out
RESTART_PERIOD = 60.0  # seconds before each of them
# What a cluster or a terminal sends to all processes of a training; the sidecar ends with the training, not by itself.
IGNORED_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class TrackedRun:
    """Track one training. No method raises an error or waits for a store, except `finish`, which waits a little."""

    def __init__(
        self,
        config: Config,
        run_dir: Path,
        training: str = "",
        inputs: Mapping[str, Mapping[str, str]] | None = None,
        continues: bool = False,
    ) -> None:
        """Record a start in the run folder, and deliver the folder in the background from now on.

        Args:
            config: the whole configuration. If `config.tracking` is not enabled, all methods do nothing.
            run_dir: the run folder.
            training: hash of all that the weights depend on.
            inputs: what the training reads: by name the `source`, a path, and the `digest`, a hash.
            continues: the run that the folder holds goes on; otherwise a new one begins.
        """
        self._config = config
        self._files = RunFiles(run_dir)
        self._attempt = 0  # its number, once it has begun
        self._sidecar: subprocess.Popen[bytes] | None = None
        self._is_ending = False
        if not config.tracking.enabled:
            return
        try:
            self._begin(training, inputs, continues)
            self._sidecar = self._start_sidecar()
        except (OSError, UserError) as error:
            logger.warning("tracking: %s; training continues without it", redact(first_line(error)))
            return
        threading.Thread(target=self._listen, name="tracking", daemon=True).start()

    @property
    def is_active(self) -> bool:
        """Tell whether what is put into the run folder will be delivered."""
        return self._sidecar is not None

    def finish(self, status: str = FINISHED) -> None:
        """Record how the training ended, as FINISHED, FAILED or KILLED, and wait a little until that is delivered.

        With `tracking.log_checkpoint`, the end of a training that finished waits as long as the upload of its
        checkpoints may take. One that was stopped has no time for it.
        """
        sidecar, self._sidecar, self._is_ending = self._sidecar, None, True
        self.record_end(status)
        if sidecar is None:
            return
        assert sidecar.stdin
        with suppress(OSError):
            sidecar.stdin.close()
        patience = FINISH_PATIENCE
        if self._config.tracking.log_checkpoint and status == FINISHED:
            patience += sum(path.stat().st_size for path in self._files.checkpoints()) / SLOWEST_UPLOAD
        is_delivered = False
        with suppress(subprocess.TimeoutExpired):
            is_delivered = sidecar.wait(patience) == 0
        if not is_delivered:
            logger.warning("tracking: not everything is in MLflow yet; %s", advise_sync(self._run_dir))

    def record_end(self, status: str) -> None:
        """Record how the training ended, without waiting for anything."""
        if self._attempt:
            with suppress(OSError):  # of a full disk; the sidecar notices the end without it
                self._files.end_attempt(self._attempt, status)

    @property
    def _run_dir(self) -> Path:
        return self._files.run_dir

    def _begin(self, training: str, inputs: Mapping[str, Mapping[str, str]] | None, continues: bool) -> None:
        if not continues:
            self._files.begin_run(training, inputs)
        elif not self._files.identity():
            self._files.name_run(training, inputs)
        store = shown_address(store_of(self._config))
        self._attempt = self._files.begin_attempt(own_settings(redact_config(self._config)), store).number
        if changes := redact(read_code_changes()[:MAX_CHANGES]):
            self._files.code.write_text(changes + "\n", encoding="utf-8")
        else:
            self._files.code.unlink(missing_ok=True)

    def _start_sidecar(self) -> subprocess.Popen[bytes]:
        # A job runs a copy of the code, from a folder that Python does not look into by itself.
        path = os.pathsep.join(filter(None, (str(Path(vclr.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
        own = {"PYTHONPATH": path, "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
        # The address may hold a password, which every user of the machine could read in the arguments.
        own[STORE_VARIABLE] = store_of(self._config)
        # A signal may come before the sidecar ignores it. It inherits what this thread blocks.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
        try:
            return subprocess.Popen(
                [sys.executable, "-m", "vclr.tracking.sidecar", str(self._run_dir), str(self._attempt)],
                env=os.environ | own,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the training
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _listen(self) -> None:
        """Log what the sidecar says, and replace it if it ends too early."""
        for restarts in range(RESTARTS + 1):
            sidecar = self._sidecar
            if sidecar is None:
                return
            assert sidecar.stdin and sidecar.stdout
            with sidecar.stdout:
                for line in sidecar.stdout:
                    logger.warning("tracking in %s; training continues", line.decode(errors="replace").strip())
            code = sidecar.wait()
            if self._is_ending:
                return
            what_next = "training continues without it" if restarts == RESTARTS else "it is started again"
            logger.warning("tracking: the process that delivers the run ended (exit code %d); %s", code, what_next)
            if restarts == RESTARTS:
                return
            sidecar.stdin.close()
            time.sleep(RESTART_PERIOD)
            if self._is_ending:
                return
            try:
                self._sidecar = self._start_sidecar()
            except OSError as error:
                logger.warning("tracking: %s; training continues without it", first_line(error))
                return
