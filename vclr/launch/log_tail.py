"""Print what a running job adds to its log."""

from __future__ import annotations

import sys
from pathlib import Path

# Begins submitit's own lines in the log of each process.
OF_SUBMITIT = "submitit "


class LogTail:
    """Print whole lines that are added to a file, which need not exist yet."""

    def __init__(self, path: Path, from_end: bool = False) -> None:
        """Begin with the first line, or with the lines that are added from now on."""
        self.path = path
        self._position = path.stat().st_size if from_end and path.exists() else 0

    def pass_on(self) -> None:
        """Print the lines that were added since the last call."""
        try:
            with self.path.open("rb") as file:
                file.seek(0, 2)
                self._position = min(self._position, file.tell())
                file.seek(self._position)
                lines = file.read().rpartition(b"\n")[0]
        except OSError:
            return
        if lines:
            self._position += len(lines) + 1
            for line in lines.decode(errors="replace").split("\n"):
                if not line.startswith(OF_SUBMITIT):
                    print(line, file=sys.stderr, flush=True)


def last_lines(path: Path, number: int) -> list[str]:
    """Return up to `number` last lines of a log."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if not line.startswith(OF_SUBMITIT)][-number:]
