"""Measure cases of `vclr bench` side by side: each in a process of its own, by turns, so that a noisy moment hits all.

The peak of memory is the process's, and nothing that one case leaves behind reaches the next.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.table import Row, Table, describe_machine
from vclr.files import atomic_path, write_json

Figures = dict[str, Any]


@dataclass
class Comparison:
    """Cases of one benchmark; the others are compared with the first.

    Attributes:
        title: what is compared.
        shared: arguments of `vclr bench` that all cases have, the benchmark's name first.
        cases: the case's name and its own arguments.
        rounds: how often each case gets a process.
        runs: that are timed in each process.
        also: other lists of seconds to show in a table of their own: name and key.
    """

    title: str
    shared: list[str]
    cases: dict[str, list[str]]
    rounds: int = 2
    runs: int = 2
    also: dict[str, str] = field(default_factory=dict)


def compare(comparisons: list[Comparison], description: str, arguments: list[str], output: Path | None = None) -> None:
    """Measure the comparisons and print a table of each.

    Args:
        comparisons: what to measure.
        description: of the benchmark, for `--help`.
        arguments: of the command line.
        output: where the tables go too, unless `--output` says.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="processes of each case, by turns")
    parser.add_argument("--runs", type=int, help="timed runs in each process")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0: as it chooses")
    parser.add_argument(
        "--output", type=Path, default=output, help="write the tables here (.md) and all figures (.json)"
    )
    options = parser.parse_args(arguments)
    results, tables = {}, []
    for comparison in comparisons:
        figures = measure_cases(
            comparison, options.rounds or comparison.rounds, options.runs or comparison.runs, options.threads
        )
        results[comparison.title] = figures
        for table in map(str, make_tables(comparison, figures)):
            tables.append(table)
            print(f"\n{table}", flush=True)
    if options.output:
        with atomic_path(options.output.with_suffix(".md")) as path:
            path.write_text("\n\n".join(tables) + "\n", encoding="utf-8")
        write_json(options.output.with_suffix(".json"), results, indent=1)


def measure_cases(comparison: Comparison, rounds: int, runs: int, threads: int) -> dict[str, list[Figures]]:
    """Return what each process of each case measured; `{"failed": reason}` where memory was too small."""
    figures: dict[str, list[Figures]] = {name: [] for name in comparison.cases}
    for number in range(rounds):
        for name, own in comparison.cases.items():
            print(f"{comparison.title}: {name}, {number + 1} of {rounds}", file=sys.stderr, flush=True)
            if not any("failed" in earlier for earlier in figures[name]):
                figures[name].append(run_bench([*comparison.shared, *own, f"--runs={runs}", f"--threads={threads}"]))
    return figures


def run_bench(arguments: list[str]) -> Figures:
    """Run `vclr bench` in a process of its own; return its figures, or `{"failed": ...}` for too little memory."""
    command = [sys.executable, "-m", "vclr.cli", "bench", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout)  # type: ignore[no-any-return]
    reason = (done.stderr.strip().splitlines() or [""])[-1]
    if "out of memory" in reason or done.returncode in (-9, 137):  # the kernel kills what takes too much
        return {"failed": "out of memory"}
    sys.exit(f"{' '.join(command)}: {reason or done.returncode}")


def make_tables(comparison: Comparison, figures: dict[str, list[Figures]]) -> list[Table]:
    """Join the processes of each case: the main table, and one for each other figure."""
    complete = [one for measured in figures.values() for one in measured if "failed" not in one]
    machine = describe_machine(complete[0]) if complete else ""
    tables = [Table(comparison.title, [_main_row(name, measured) for name, measured in figures.items()], machine)]
    for label, key in comparison.also.items():
        rows = [Row(name, _pool(measured, key)) for name, measured in figures.items() if "failed" not in measured[-1]]
        tables.append(Table(f"{comparison.title}: {label}", rows, machine))
    return tables


def _main_row(name: str, measured: list[Figures]) -> Row:
    if "failed" in measured[-1]:
        return Row(name, note=measured[-1]["failed"])
    peak = max(one["peak_gib"] for one in measured)
    return Row(name, _pool(measured, "seconds"), peak, _calibration(measured))


def _pool(measured: list[Figures], key: str) -> list[float]:
    return [seconds for one in measured for seconds in one[key]]


def _calibration(measured: list[Figures]) -> str:
    """Return the median speed of the two fixed products, convolution and matrices, over a case's processes."""
    calibrations = [one["calibration"] for one in measured if one["calibration"]]
    speeds = [[one[key] for one in calibrations] for key in ("conv_gflops", "matmul_gflops")]
    return ", ".join(f"{statistics.median(speed):.0f}" for speed in speeds if speed)
