"""What long work says: log lines, and progress as a bar on a terminal, as a plain line now and then elsewhere."""

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
CONSOLE = Console(stderr=True)  # one for bars and log lines, so that neither breaks the other
# Without a terminal (logs, CI), a line at most this often.
SECONDS_BETWEEN_LINES = 15.0


def start_logging() -> None:
    """Show what the package logs, and warnings of others, on the standard error."""
    plain = logging.StreamHandler()
    handler = RichHandler(console=CONSOLE, show_path=False, markup=False) if sys.stderr.isatty() else plain
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("vclr").setLevel(logging.INFO)


class Progress:
    """Count steps towards a total, or bytes, of which the rate is shown too.

    Several threads may count.
    """

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
        counts = (DownloadColumn(), TransferSpeedColumn()) if is_bytes else (MofNCompleteColumn(),)
        columns = (TextColumn("{task.description}"), BarColumn(), *counts)
        times = (TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
        self.bar = Bar(*columns, *times, console=CONSOLE, disable=self.is_plain or quiet)
        self.task = self.bar.add_task(description, total=total, completed=done, note="")
        self.bar.start()
        self.counting = threading.Lock()

    def advance(self, steps: int = 1) -> None:
        """Count one step, or several."""
        with self.counting:
            self._show(self.done + steps, self.total)

    def set(self, done: int, total: int | None) -> None:
        """Say how many are done, of how many; fewer than before where work is done again."""
        with self.counting:
            if done < self.done:
                self.started, self.done_before = time.monotonic(), done
            self._show(done, total)

    def _show(self, done: int, total: int | None) -> None:
        self.done, self.total = done, total
        self.bar.update(self.task, completed=done, total=total)
        is_due = time.monotonic() >= self.next_line or done == total
        if self.is_plain and not self.is_silent and is_due:
            self.next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            with suppress(BrokenPipeError):  # a Ctrl-C may end who reads along before the work has come to its end
                print(f"{self.description}: {self._counts()} {self.note}".rstrip(), file=sys.stderr, flush=True)

    def _counts(self) -> str:
        if not self.is_bytes:
            return f"{self.done}/{self.total}"
        rate = (self.done - self.done_before) / max(time.monotonic() - self.started, 1e-3)
        text = f"{decimal(self.done)} of {'?' if self.total is None else decimal(self.total)}, {decimal(int(rate))}/s"
        if self.total is not None and rate > 0 and self.done < self.total:
            text += f", {(self.total - self.done) / rate / 60:.0f} min left"
        return text

    def say(self, note: str) -> None:
        """Show a short note beside the count."""
        self.note = note
        self.bar.update(self.task, note=note)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self.bar.stop()


def track(items: Sequence[T], description: str, quiet: bool = False) -> Iterator[T]:
    """Yield the items and show how many are done."""
    progress = Progress(description, len(items), quiet=quiet)
    try:
        for item in items:
            yield item
            progress.advance()
    finally:
        progress.close()
