"""How threads wait for each other, with and without two busy loops at the same time: steps of the demo's detector.

Each case runs in a separate process, and the cases take turns. The first row is OpenMP's default, the second is what
`import vclr` sets (`vclr.processes.WAITING`). A single thread waits for no other: beside other work it is the ideal.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.cases import run_bench
from benchmarks.table import Row, Table, describe_machine
from vclr.processes import WAITING

STEP = ["step", "--config-file=configs/small_detector.yaml", "--size=128x128", "--batch=8", "--queries=60"]
OPENMP_ITSELF = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}  # its defaults
CASES: dict[str, tuple[dict[str, str], list[str]]] = {
    "OpenMP's default": (OPENMP_ITSELF, []),
    "vclr's default": (WAITING, []),
    "passive": ({"OMP_WAIT_POLICY": "passive"}, []),
    "spin 1000": ({"GOMP_SPINCOUNT": "1000"}, []),
    "spin 20000": ({"GOMP_SPINCOUNT": "20000"}, []),
    "one thread": ({}, ["--threads=1"]),
}
NUM_LOOPS = 2
LONGEST = 300.0  # seconds of one process


def main(arguments: list[str]) -> None:
    """Measure all cases, first without and then with busy loops in each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="number of processes per case; cases take turns")
    parser.add_argument("--runs", type=int, default=6, help="number of timed steps per process")
    options = parser.parse_args(arguments)
    titles = {0: "a step without busy loops", NUM_LOOPS: f"a step beside {NUM_LOOPS} busy loops"}
    rows = {loops: {name: Row(name) for name in CASES} for loops in titles}
    others = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_", "KMP_"))}
    machine = ""
    for number in range(options.rounds):
        for loops, title in titles.items():
            with busy_loops(loops):
                for name, (environment, own) in CASES.items():
                    print(f"{title}: {name}, {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
                    arguments = [*STEP, *own, f"--runs={options.runs}", "--no-calibration"]
                    figures = run_bench(arguments, LONGEST, {**others, **environment})
                    row = rows[loops][name]
                    row.seconds += figures.get("seconds", [])
                    row.note = figures.get("failed", row.note)
                    machine = machine or ("machine" in figures and describe_machine(figures)) or ""
    for loops, title in titles.items():
        print(f"\n{Table(title, list(rows[loops].values()), machine)}", flush=True)


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Run programs that each keep one processor busy, for the length of a block."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
