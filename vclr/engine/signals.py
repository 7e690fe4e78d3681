"""Signals that ask a training to stop: noted when they arrive, answered when everything can be saved."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from vclr.engine.distributed import on_first_process, start_to_agree
from vclr.engine.ending import SharedEndError
from vclr.option_names import option

# Exit codes. EX_TEMPFAIL means "try again later": a job script that sees it requeues the job.
EXIT_CODES = {
    signal.SIGTERM: os.EX_TEMPFAIL,
    signal.SIGUSR1: os.EX_TEMPFAIL,
    signal.SIGUSR2: os.EX_TEMPFAIL,
    signal.SIGINT: 128 + signal.SIGINT,
}


class StoppedError(SharedEndError):
    """Report in one line that a training was stopped by a signal and is saved."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message, exit_code)
        self.exit_code = exit_code

    def __str__(self) -> str:
        return str(self.args[0])


class StopSignals:
    """Note signals during the `with` block instead of dying from them. A second Ctrl-C stops at once.

    Outside the main thread, where Python handles no signals, none is ever noted.
    """

    def __init__(self) -> None:
        self._received: signal.Signals | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in EXIT_CODES:
                # A shell makes its background jobs ignore Ctrl-C, which is meant for the foreground job.
                if number != signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
                    self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == self._received == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = signal.Signals(number)

    @property
    def requested(self) -> bool:
        """Whether a signal has asked for a stop."""
        return self._received is not None

    def stop_together(self, iteration: int) -> None:
        """Stop all processes of the training if one of them has received a signal; all of them call this.

        Raises:
            StoppedError: see `check`; the other processes exit with its code (see `on_first_process`).
        """
        self.start_to_agree()(iteration)

    def start_to_agree(self) -> Callable[[int], None]:
        """Tell the other processes whether this one has received a signal.

        Returns:
            What `stop_together` does with the signals that the processes had received at this moment.
        """
        wait = start_to_agree(self._received or 0)

        def stop(iteration: int) -> None:
            # A signal that arrived since then does not count: the other processes do not know about it.
            if number := wait():
                self._received = signal.Signals(number)
                on_first_process(lambda: self.check(iteration))

        return stop

    def check(self, iteration: int | None) -> None:
        """Stop if a signal has asked for it. The caller saves everything when this raises.

        Args:
            iteration: how many steps have been taken; None before the training, when there is nothing to save.

        Raises:
            StoppedError: a signal was noted; says how to continue the training.
        """
        if self.requested:
            assert self._received is not None
            says = f"stopped and saved at iteration {iteration}; {option('resume', True)} continues from there"
            if iteration is None:
                says = "stopped before the training began"
            raise StoppedError(f"{self._received.name}: {says}", EXIT_CODES[self._received])
