"""Log lines and progress: a bar on a terminal, elsewhere a plain line every few seconds."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from rich.console import Console
from rich.filesize import decimal
from rich.logging import RichHandler
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar

T = TypeVar("T")
CONSOLE = Console(stderr=True)  # shared by bars and log lines, so that neither garbles the other
SECONDS_BETWEEN_LINES = 15.0  # at least, without a terminal (logs, CI)


def start_logging() -> None:
    """Print the package's log, and warnings of other packages, to stderr."""
    plain = logging.StreamHandler()
    handler = RichHandler(console=CONSOLE, show_path=False, markup=False) if sys.stderr.isatty() else plain
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("vclr").setLevel(logging.INFO)


class Progress:
    """Progress of steps or bytes, with their rate and the time left. Several threads may advance it."""

    def __init__(
        self, description: str, total: int | None, done: int = 0, quiet: bool = False, is_bytes: bool = False
    ) -> None:
        self.description, self.total, self.done = description, total, done
        self.is_bytes = is_bytes
        self.note = ""
        self.started, self.done_before = time.monotonic(), done
        self.next_line = self.started + SECONDS_BETWEEN_LINES
        self.is_plain = not sys.stderr.isatty()
        self.is_silent = quiet
        counts = (
            (DownloadColumn(), TransferSpeedColumn())
            if is_bytes
            else (MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
        )
        columns = (TextColumn("{task.description}"), BarColumn(), *counts)
        times = (TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
        self.bar = Bar(*columns, *times, console=CONSOLE, disable=self.is_plain or quiet)
        self.task = self.bar.add_task(description, total=total, completed=done, note="", rate="")
        self.bar.start()
        self.counting = threading.Lock()

    def advance(self, steps: int = 1) -> None:
        """Advance by one or more steps."""
        with self.counting:
            self._show(self.done + steps, self.total)

    def skip(self, steps: int = 1) -> None:
        """Count steps that were finished before; they do not count for the rate."""
        with self.counting:
            self.done_before += steps
            self._show(self.done + steps, self.total)

    def set(self, done: int, total: int | None) -> None:
        """Set how many steps are done, and the total. The count may fall if work is repeated."""
        with self.counting:
            if done < self.done:
                self.started, self.done_before = time.monotonic(), done
            self._show(done, total)

    def _show(self, done: int, total: int | None) -> None:
        self.done, self.total = done, total
        self.bar.update(self.task, completed=done, total=total, rate="" if self.is_bytes else self._rate())
        is_due = time.monotonic() >= self.next_line or done == total
        if self.is_plain and not self.is_silent and is_due:
            self.next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            with suppress(BrokenPipeError):  # Ctrl-C may end the reader of the log before this process
                print(f"{self.description}: {self._counts()} {self.note}".rstrip(), file=sys.stderr, flush=True)

    def _counts(self) -> str:
        rate = self._steps_per_second()
        if self.is_bytes:
            total = "?" if self.total is None else decimal(self.total)
            text = f"{decimal(self.done)} of {total}, {decimal(int(rate))}/s"
        else:
            text = ", ".join(filter(None, (f"{self.done}/{self.total}", self._rate())))
        if self.total is not None and rate > 0 and self.done < self.total:
            text += f", {(self.total - self.done) / rate / 60:.0f} min left"
        return text

    def _steps_per_second(self) -> float:
        return (self.done - self.done_before) / max(time.monotonic() - self.started, 1e-3)

    def _rate(self) -> str:
        """Return the rate of steps in words, "" once all are done and before the first."""
        rate = self._steps_per_second()
        if rate <= 0 or self.done == self.total:
            return ""
        return f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"

    def say(self, note: str) -> None:
        """Show a short note next to the count."""
        self.note = note
        self.bar.update(self.task, note=note)

    def close(self) -> None:
        """Remove the bar from the terminal."""
        self.bar.stop()


def track(items: Sequence[T], description: str, quiet: bool = False) -> Iterator[T]:
    """Yield the items, and show how many have been processed."""
    progress = Progress(description, len(items), quiet=quiet)
    try:
        for item in items:
            yield item
            progress.advance()
    finally:
        progress.close()
