"""`vclr bench` at a size at which it takes no time."""

from __future__ import annotations

from typing import Any

from tests.cuda.machine import Machine
from vclr.bench.run import run_benchmark


def main(machine: Machine, name: str, **options: Any) -> dict[str, Any]:
    """Return the figures of a benchmark and the notes."""
    machine.notes.take()
    figures = run_benchmark(name, {"size": "64x96", "runs": 1, "calibrate": False, "device": "cuda", **options})
    return {"device": figures["device"], "seconds": figures["seconds"], "notes": machine.notes.take()}
