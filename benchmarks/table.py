"""One table for all benchmarks: medians, spread, ratios to the first row. Markdown that reads well in a terminal."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Row:
    """A variant: the seconds of its runs and, if known, its peak in GiB, its calibration and a note."""

    name: str
    seconds: list[float] = field(default_factory=list)
    peak: float | None = None
    calibration: str = ""
    note: str = ""

    @property
    def median(self) -> float:
        """Return the median of the runs."""
        return statistics.median(self.seconds)


@dataclass
class Table:
    """A comparison with the first row; columns that no row fills are left out."""

    title: str
    rows: list[Row]
    machine: str

    def __str__(self) -> str:
        """Return title, machine and rows."""
        header = ["", "median", "fastest to slowest", "time", "peak", "memory", "GFLOP/s: conv, matmul", "runs", ""]
        lines = [header, *(self._cells(row) for row in self.rows)]
        shown = [0, *(column for column in range(1, len(header)) if any(line[column] for line in lines[1:]))]
        widths = [max(len(line[column]) for line in lines) for column in shown]
        text = [
            "| " + " | ".join(line[column].ljust(width) for column, width in zip(shown, widths, strict=True)) + " |"
            for line in lines
        ]
        text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n".join([f"**{self.title}**", "", *text, "", self.machine])

    def _cells(self, row: Row) -> list[str]:
        first = self.rows[0]
        if not row.seconds:
            return [row.name, *[""] * 7, row.note]
        time_ratio = f"x {row.median / first.median:.2f}" if first.seconds else ""
        memory_ratio = f"x {row.peak / first.peak:.2f}" if row.peak and first.peak else ""
        peak = f"{row.peak:.2f} GiB" if row.peak else ""
        spread = f"{duration(min(row.seconds))} to {duration(max(row.seconds))}"
        columns = [row.name, duration(row.median), spread, time_ratio, peak, memory_ratio, row.calibration]
        return [*columns, str(len(row.seconds)), row.note]


def duration(seconds: float) -> str:
    """Return seconds as readable text."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"


def describe_machine(figures: dict[str, Any]) -> str:
    """Return one line that describes the machine of some figures of `vclr bench`."""
    parts = [figures["machine"], f"threads: {figures['threads']}"]
    parts += [f"{name} {str(figures[name])[:12]}" for name in ("torch", "vclr", "revision") if figures[name]]
    return "; ".join(parts)
