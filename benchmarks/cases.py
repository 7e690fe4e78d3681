"""Measure cases of `vclr bench` side by side: in separate processes that take turns, so that a noisy moment hits all.

The peak memory is that of the process, and no case is affected by what an earlier one leaves behind.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.table import Row, Table, describe_machine
from vclr.files import atomic_path, write_json

Figures = dict[str, Any]
Results = dict[str, dict[str, list[Figures]]]  # title of the comparison -> name of the case -> one per process
OUT_OF_MEMORY = "out of memory"
AN_HOUR = 3600.0


@dataclass
class Comparison:
    """Cases of one benchmark; the others are compared with the first.

    Attributes:
        title: what is compared.
        shared: arguments of `vclr bench` that all cases have, the benchmark's name first.
        cases: the case's name and its own arguments.
        rounds: number of processes per case.
        runs: number of timed runs per process.
        also: other lists of seconds, each shown in a separate table: title and key.
    """

    title: str
    shared: list[str]
    cases: dict[str, list[str]]
    rounds: int = 2
    runs: int = 2
    also: dict[str, str] = field(default_factory=dict)


def compare(
    comparisons: list[Comparison],
    description: str,
    arguments: list[str],
    output: Path | None = None,
    longest: float = AN_HOUR,
) -> None:
    """Measure the comparisons and print a table for each. If a case fails, its row says why, and the others continue.

    Args:
        comparisons: what to measure.
        description: the text of `--help`.
        arguments: the command line.
        output: the file to which the tables are written after each process (default of `--output`).
        longest: time limit of a process in seconds, so that one that hangs does not stop the others.

    Raises:
        SystemExit: a case failed for another reason than too little memory.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help="number of processes per case; cases take turns")
    parser.add_argument("--runs", type=int, help="number of timed runs per process")
    parser.add_argument("--threads", type=int, default=0, help="number of torch's threads (default: torch's choice)")
    parser.add_argument(
        "--output", type=Path, default=output, help="write the tables here (.md) and all figures (.json)"
    )
    options = parser.parse_args(arguments)
    results: Results = {}
    for comparison in comparisons:
        rounds, runs = options.rounds or comparison.rounds, options.runs or comparison.runs
        figures: dict[str, list[Figures]] = {name: [] for name in comparison.cases}
        results[comparison.title] = figures
        for _ in measure_cases(comparison, figures, rounds, runs, options.threads, longest):
            if options.output:  # after each process, so that nothing is lost if a later one fails
                write_results(comparisons, results, options.output)
        for table in make_tables(comparison, figures):
            print(f"\n{table}", flush=True)
    failed = [name for figures in results.values() for name, measured in figures.items() if _has_failed(measured)]
    if failed:
        sys.exit(f"{len(failed)} case{'s' * (len(failed) > 1)} failed: {'; '.join(failed)}")


def measure_cases(
    comparison: Comparison,
    figures: dict[str, list[Figures]],
    rounds: int,
    runs: int,
    threads: int,
    longest: float = AN_HOUR,
) -> Iterator[None]:
    """Run the processes, append their results to `figures`, and yield after each; a case that failed is skipped."""
    for number in range(rounds):
        for name, own in comparison.cases.items():
            print(f"{comparison.title}: {name}, {number + 1} of {rounds}", file=sys.stderr, flush=True)
            if not any("failed" in earlier for earlier in figures[name]):
                options = [*comparison.shared, *own, f"--runs={runs}", f"--threads={threads}"]
                figures[name].append(run_bench(options, longest))
                yield


def run_bench(arguments: list[str], longest: float = AN_HOUR, environment: dict[str, str] | None = None) -> Figures:
    """Run `vclr bench` in a new process; return its figures, or `{"failed": reason}`."""
    command = [sys.executable, "-m", "vclr.cli", "bench", *arguments, "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=longest, env=environment)
    except subprocess.TimeoutExpired:
        return {"failed": f"took more than {longest:.0f} s"}
    if done.returncode == 0:
        return json.loads(done.stdout)  # type: ignore[no-any-return]
    reason = (done.stderr.strip().splitlines() or [""])[-1].removeprefix("vclr: ")
    if OUT_OF_MEMORY in reason or done.returncode in (-9, 137):  # the kernel kills a process that takes too much
        return {"failed": OUT_OF_MEMORY}
    return {"failed": textwrap.shorten(reason or f"ended with {done.returncode}", 100, placeholder=" ...")}


def write_results(comparisons: list[Comparison], results: Results, output: Path) -> None:
    """Write the tables of everything measured so far, and all figures to a json file beside them."""
    begun = [comparison for comparison in comparisons if comparison.title in results]
    tables = [str(table) for one in begun for table in make_tables(one, results[one.title])]
    with atomic_path(output.with_suffix(".md")) as path:
        path.write_text("\n\n".join(tables) + "\n", encoding="utf-8")
    write_json(output.with_suffix(".json"), results, indent=1)


def _has_failed(measured: list[Figures]) -> bool:
    """Tell whether a case failed for another reason than too little memory, which is a result."""
    return any(one.get("failed", OUT_OF_MEMORY) != OUT_OF_MEMORY for one in measured)


def make_tables(comparison: Comparison, figures: dict[str, list[Figures]]) -> list[Table]:
    """Join the processes of each case; return the main table, and one for each entry of `also`."""
    complete = [one for measured in figures.values() for one in measured if "failed" not in one]
    machine = describe_machine(complete[0]) if complete else ""
    figures = {name: measured for name, measured in figures.items() if measured}  # the others have not run yet
    tables = [Table(comparison.title, [_main_row(name, measured) for name, measured in figures.items()], machine)]
    for label, key in comparison.also.items():
        rows = [Row(name, _pool(measured, key)) for name, measured in figures.items() if "failed" not in measured[-1]]
        tables += [Table(f"{comparison.title}: {label}", rows, machine)] if rows else []
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
