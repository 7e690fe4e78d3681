"""The figures of a benchmark as text."""

from __future__ import annotations

from typing import Any


def describe(figures: dict[str, Any]) -> str:
    """Return the lines that `vclr bench` prints for the result of `run_benchmark`."""
    rows = {"what": _describe_case(figures), "median": _seconds(figures["median_s"]) + _spread(figures)}
    if "forward_s" in figures:
        rows["forward alone"] = _seconds(figures["forward_s"])
    if "images_per_s" in figures:
        rows["throughput"] = f"{figures['images_per_s']:.1f} images per second"
    if figures.get("skipped_steps"):
        rows["no update in"] = f"{figures['skipped_steps']} steps, whose gradient overflowed"
    rows["peak memory"] = f"{figures['peak_gib']:.2f} GiB"
    if figures["peak_process_gib"] != figures["peak_gib"]:
        rows["of the process"] = f"{figures['peak_process_gib']:.2f} GiB"
    rows["machine"] = f"{figures['machine']}, {figures['threads']} threads, torch {figures['torch']}"
    if figures["calibration"]:
        conv, matmul = (figures["calibration"][f"{product}_gflops"] for product in ("conv", "matmul"))
        rows["calibration"] = f"convolution {conv:.0f} GFLOP/s, matrix product {matmul:.0f} GFLOP/s"
    return "\n".join(f"{name:16} {value}" for name, value in rows.items())


def _describe_case(figures: dict[str, Any]) -> str:
    size = f" x {figures['size']}" if figures["size"] else ""
    parts = [f"{figures['name']}, batch of {figures['batch']}{size}"]
    parts += [f"{figures[key]} {key}" for key in ("queries", "objects", "workers") if figures[key] is not None]
    parts += [str(figures[key]) for key in ("dtype", "backend", "device") if figures[key]]
    parts += ["TF32"] * bool(figures["tf32"] and figures["dtype"] == "float32")
    parts += ["activation checkpointing"] * bool(figures["checkpoint"])
    parts += [f"{figures['micro_batch']} images at once"] * bool(figures["micro_batch"])
    return ", ".join([*parts, *filter(None, [figures["config_file"]]), *figures["overrides"]])


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"


def _spread(figures: dict[str, Any]) -> str:
    count = f"{figures['runs']} run{'s' * (figures['runs'] != 1)}"
    return f"   ({_seconds(figures['min_s'])} to {_seconds(figures['max_s'])}, {count})"
