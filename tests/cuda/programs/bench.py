"""`vclr bench` at a size at which it takes no time."""

from __future__ import annotations

from typing import Any

from tests.cuda.machine import Machine
from vclr.bench.run import run_benchmark


def main(machine: Machine, cases: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Return the figures of each benchmark, given its name and options, and the notes."""
    results = {}
    for case, (name, options) in cases.items():
        machine.notes.take()
        figures = run_benchmark(name, {"size": "64x96", "runs": 1, "calibrate": False, "device": "cuda", **options})
        results[case] = {"figures": figures, "notes": machine.notes.take()}
    return results
