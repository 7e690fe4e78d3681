"""The process beside a training that delivers its run folder to MLflow, so that the training never waits for a store.

It reads what the training writes to the folder, so nothing is kept twice. It lives as long as its standard input is
open: when the training ends, however that happens, it delivers what is left and ends too.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from vclr.errors import one_line
from vclr.tracking.delivery import BusyError, Delivery, only_delivery
from vclr.tracking.run import IGNORED_SIGNALS, STORE_VARIABLE
from vclr.tracking.run_files import BEAT_PERIOD, KILLED, RunFiles
from vclr.tracking.secrets import redact
from vclr.tracking.store import shown_address

POLL_PERIOD = 2.0  # seconds between two looks at the folder
LONGEST_RETRY = 60.0  # seconds between two attempts while the store fails
LAST_PATIENCE = 8.0  # seconds for the last deliveries after the training ended
LOCK_PATIENCE = 1.0  # seconds for another delivery to end, before this one is tried again


class Sidecar:
    """Deliver a folder, again and again."""

    def __init__(self, run_dir: Path, uri: str, attempt: int) -> None:
        self._files = RunFiles(run_dir)
        self._delivery = Delivery(run_dir, uri, may_resume=True)
        self._attempt, self._identity = attempt, self._files.identity()
        self._uri = uri
        self._beat_at = 0.0
        self._retry_at, self._delay = 0.0, POLL_PERIOD
        self._last_problem = ""

    def run(self) -> bool:
        """Work until standard input ends; return whether everything was delivered."""
        while not _has_ended(POLL_PERIOD):
            self._beat()
            if time.monotonic() >= self._retry_at:
                self._try()
        if self._files.identity() != self._identity:
            return True  # a new training began in the folder, with a process like this one
        with suppress(OSError):
            self._files.end_attempt(self._attempt, KILLED, is_known=False)
        end = time.monotonic() + LAST_PATIENCE
        while not self._try():
            if time.monotonic() + self._delay > end:
                return False
            time.sleep(self._delay)
        return True

    def _beat(self) -> None:
        if time.monotonic() < self._beat_at:
            return
        self._beat_at = time.monotonic() + BEAT_PERIOD
        try:
            self._files.beat()
        except OSError as error:
            self._report(str(error))

    def _try(self) -> bool:
        try:
            with only_delivery(self._files.run_dir, LOCK_PATIENCE):
                problems = self._delivery.deliver().problems
        except BusyError:  # `vclr track sync`, or the sidecar of the attempt before
            return False
        except Exception as error:
            problems = [one_line(error)]
        if not problems:
            self._delay, self._retry_at, self._last_problem = POLL_PERIOD, 0.0, ""
            return True
        self._report(problems[0])
        self._retry_at = time.monotonic() + self._delay
        self._delay = min(2 * self._delay, LONGEST_RETRY)
        return False

    def _report(self, problem: str) -> None:
        """Tell the training, which logs it; the same problem only once."""
        if problem != self._last_problem:
            self._last_problem = problem
            with suppress(OSError):  # the training is gone
                print(f"{shown_address(self._uri)}: {redact(problem)}", flush=True)


def _has_ended(seconds: float) -> bool:
    """Wait, and tell whether the training has closed the pipe; it never writes to it."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and not os.read(sys.stdin.fileno(), 1)


def main() -> None:
    """Deliver the folder of an attempt to a store; exit with 1 if something is left.

    The arguments are the folder and the number of the attempt; the environment has the address of the store.
    """
    for number in IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    folder, attempt = sys.argv[1:]
    sys.exit(not Sidecar(Path(folder), os.environ[STORE_VARIABLE], int(attempt)).run())


if __name__ == "__main__":
    main()
