"""Time functions within one process. They take turns, so that a noisy moment hits all, and medians are compared."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from benchmarks.table import Row, Table, describe_machine
from vclr.bench.measure import describe_machine as describe_process


def compare(title: str, variants: dict[str, Callable[[], object]], runs: int = 7) -> None:
    """Run each variant `runs` times after a warm-up; print the table."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for run in range(runs + 1):
        for name, variant in variants.items():
            started = time.perf_counter()
            variant()
            if run:
                seconds[name].append(time.perf_counter() - started)
    print_table(title, [Row(name, measured) for name, measured in seconds.items()])


def print_table(title: str, rows: list[Row]) -> None:
    """Print what this process measured."""
    about = {**describe_process(torch.device("cpu")), "threads": torch.get_num_threads()}
    print(f"\n{Table(title, rows, describe_machine(about))}", flush=True)
