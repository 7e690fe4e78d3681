"""What an import changed or left out: counted by kind, and logged as one line per kind."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

from vclr.errors import in_one_line

log = logging.getLogger("vclr.generate")


class Notes:
    """Counts of what was changed or left out, and the first example of each kind."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, kind: str, place: str) -> None:
        """Count one entry of a kind; `place` says where it is."""
        self.counts[kind] += 1
        self._first.setdefault(kind, place)

    def warn(self, source: Path) -> None:
        """Log each kind once, with the number of its entries and the first of them."""
        for kind, count in self.counts.items():
            log.warning(in_one_line(f"{source}: {kind}: {count}; first: {self._first[kind]}"))
