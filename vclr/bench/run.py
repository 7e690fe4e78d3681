"""Run one benchmark: from the options to one object of figures."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import torch

from vclr.bench.attention import measure_attention
from vclr.bench.inference import measure_inference
from vclr.bench.loader import measure_batches
from vclr.bench.measure import Measurement, calibrate, describe_machine, peak_memory
from vclr.bench.settings import USED, Settings, choose_settings
from vclr.bench.step import measure_step
from vclr.config import load_config
from vclr.device import choose_device, float32_precision
from vclr.errors import UserError, is_out_of_memory

OPTIONS = ("queries", "objects", "batch", "dtype", "checkpoint", "micro_batch", "backend", "workers")

log = logging.getLogger("vclr.bench")

MEASURES: dict[str, Callable[[Settings, torch.device], Measurement]] = {
    "step": measure_step,
    "inference": measure_inference,
    "attention": measure_attention,
    "loader": measure_batches,
}


def run_benchmark(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Run a benchmark and return its figures, ready for json.

    Args:
        name: one of `MEASURES`.
        given: options as in `Settings`, `size` as text; the others have the benchmark's defaults.

    Returns:
        `name`; `median_s min_s max_s`, `seconds` of each run, `runs`; `peak_gib peak_process_gib`; `size`, the
        `OPTIONS` and `device tf32 threads config_file overrides`; `machine torch vclr revision`; `calibration` with
        `conv_gflops matmul_gflops`, None if it is off; and the benchmark's own figures. An option that a
        benchmark does not have (queries of a loader) is None.

    Raises:
        UsageError: an option has an invalid value.
        UserError: the data cannot be used, or memory is too small.
    """
    settings = choose_settings(name, given)
    device = choose_device(settings.device, f"--device {settings.device}")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    if settings.dtype == "float16" and device.type == "cpu":
        log.warning("--dtype float16 on a CPU: few have arithmetic for it; this may take very long")
    # Only trainings compute in TF32.
    tf32 = name == "step" and load_config(settings.config_file, settings.overrides).train.tf32
    with float32_precision(tf32):
        measurement = _measure(name, settings, device)
        memory = peak_memory(device)  # before the calibration, which also needs memory
        calibration = calibrate(settings.dtype, device) if settings.calibrate else None
    return {
        "name": name,
        **_summarize(measurement.seconds),
        **memory,
        "size": ",".join(f"{height}x{width}" for height, width in settings.sizes) if "size" in USED[name] else None,
        **{key: getattr(settings, key) if key in USED[name] else None for key in OPTIONS},
        "device": str(device),
        "tf32": tf32 if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "config_file": str(settings.config_file or ""),
        "overrides": list(settings.overrides),
        **describe_machine(device),
        "calibration": calibration,
        **measurement.details,
    }


def _measure(name: str, settings: Settings, device: torch.device) -> Measurement:
    try:
        return MEASURES[name](settings, device)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(f"out of memory: {str(error).splitlines()[0] if str(error) else device}") from None


def _summarize(seconds: list[float]) -> dict[str, Any]:
    median = statistics.median(seconds)
    return {"median_s": median, "min_s": min(seconds), "max_s": max(seconds), "seconds": seconds, "runs": len(seconds)}
