"""Time variants by turns, so that a noisy moment hits all of them, and compare medians."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable

import torch


def compare(title: str, variants: dict[str, Callable[[], object]], runs: int = 7) -> None:
    """Run each variant `runs` times after a warm-up; print median, fastest, slowest and the ratio to the first."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for run in range(runs + 1):
        for name, variant in variants.items():
            started = time.perf_counter()
            variant()
            if run:
                seconds[name].append(time.perf_counter() - started)
    machine = f"{torch.get_num_threads()} threads, torch {torch.__version__}, {platform.machine()}"
    print(f"\n{title} ({runs} runs, {machine})")
    reference = statistics.median(next(iter(seconds.values())))
    for name, measured in seconds.items():
        median = statistics.median(measured)
        print(
            f"  {name:24} {1000 * median:9.1f} ms   {1000 * min(measured):8.1f} to {1000 * max(measured):8.1f}"
            f"   x {median / reference:.2f}"
        )
