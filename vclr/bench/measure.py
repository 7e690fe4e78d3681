"""Clock, peak memory and calibration: how the benchmarks measure.

Seconds are wall-clock time, from one idle device to the next. The peak covers the whole process from its start, with
interpreter, torch, weights and warm-up, so each measurement needs its own process. Two fixed products tell how fast the
machine computed at that time, in the same precision; use them to compare figures of two machines or two times.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional

from vclr.environment import describe_environment
from vclr.host_memory import peak_process_bytes

GIB = 2**30
CALIBRATION_SECONDS = 10.0  # no further run of a product that has already taken this long


@dataclass
class Measurement:
    """The seconds of each timed run, and by name whatever else a benchmark reports."""

    seconds: list[float]
    details: dict[str, Any] = field(default_factory=dict)


def time_runs(run: Callable[[], object], num_runs: int, num_warm_ups: int, device: torch.device) -> list[float]:
    """Return the seconds of each run after the warm-up runs."""
    return [time_once(run, device) for _ in range(num_warm_ups + num_runs)][num_warm_ups:]


def time_once(run: Callable[[], object], device: torch.device) -> float:
    """Return the seconds until the device has finished a run."""
    synchronize(device)
    started = time.perf_counter()
    run()
    synchronize(device)
    return time.perf_counter() - started


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory(device: torch.device) -> dict[str, float]:
    """Return `peak_gib` (of the tensors on a GPU, else of the process) and `peak_process_gib`."""
    process = peak_process_bytes() / GIB
    peak = torch.cuda.max_memory_allocated(device) / GIB if device.type == "cuda" else process
    return {"peak_gib": peak, "peak_process_gib": process}


def calibrate(dtype: str, device: torch.device) -> dict[str, float]:
    """Measure the machine: `conv_gflops` and `matmul_gflops` (10^9 operations per second), the best of three.

    The convolution is the first one of the mask branch for an image of 384x512, computed directly: 3x3 from 1024 to
    2048 channels at 48x64. The other is a product of two matrices of 2048x2048.
    """
    precision = getattr(torch, dtype)
    features = torch.rand(1, 1024, 48, 64, device=device).to(precision)
    kernel = torch.rand(2048, 1024, 3, 3, device=device).to(precision)
    matrix = torch.rand(2048, 2048, device=device).to(precision)
    with torch.no_grad():
        conv = _fastest(lambda: functional.conv2d(features, kernel, padding=1), device)
        matmul = _fastest(lambda: matrix @ matrix, device)
    conv_operations = 2 * 9 * features.numel() * len(kernel)
    return {"conv_gflops": conv_operations / conv / 1e9, "matmul_gflops": 2 * 2048**3 / matmul / 1e9}


def _fastest(run: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of the fastest of three runs after a warm-up; of fewer if they are very slow."""
    seconds = [time_once(run, device)]
    while len(seconds) < 4 and sum(seconds) < CALIBRATION_SECONDS:
        seconds.append(time_once(run, device))
    return min(seconds[1:] or seconds)


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Describe where the figures were measured: `machine` in words, and the versions `torch`, `vclr`, `revision`."""
    about = describe_environment()
    processor = f"{about['cpu']}, {about['cpu_cores']} cores, {about['memory_gib']:.0f} GiB"
    gpu = f"{torch.cuda.get_device_name(device)}; " if device.type == "cuda" else ""
    return {
        "machine": gpu + processor,
        "torch": about["torch"],
        "vclr": about["vclr"],
        "revision": about["git_revision"] and about["git_revision"] + ("+changes" if about["git_dirty"] else ""),
    }
