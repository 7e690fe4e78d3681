"""What long work says: log lines, and progress as a bar on a terminal, as a plain line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
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
    """Count steps towards a total."""

    def __init__(self, description: str, total: int, done: int = 0, quiet: bool = False) -> None:
        self.description, self.total, self.done = description, total, done
        self.note = ""
        self.next_line = time.monotonic() + SECONDS_BETWEEN_LINES
        self.is_plain = not sys.stderr.isatty()
        self.is_silent = quiet
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
        self.bar = Bar(*columns, *times, console=CONSOLE, disable=self.is_plain or quiet)
        self.task = self.bar.add_task(description, total=total, completed=done, note="")
        self.bar.start()

    def advance(self, steps: int = 1) -> None:
        """Count one step, or several."""
        self.done += steps
        self.bar.advance(self.task, steps)
        is_due = time.monotonic() >= self.next_line or self.done == self.total
        if self.is_plain and not self.is_silent and is_due:
            self.next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            with suppress(BrokenPipeError):  # a Ctrl-C may end who reads along before the work has come to its end
                print(f"{self.description}: {self.done}/{self.total} {self.note}".rstrip(), file=sys.stderr, flush=True)

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
