"""Two trainings are the same: every bit of the last checkpoint, every number of the metrics but the times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

TIMES = {"time", "step_seconds", "data_seconds", "images_per_second", "other_work"}
# What two run folders may differ in: the settings name the folder, the journal counts seconds.
OWN = {"config", "journal"}


def checkpoint(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / "last.pt", weights_only=True)


def records(folder: Path) -> list[dict[str, Any]]:
    """Return what was logged, times aside, by iteration: an evaluation that a resume repeats is written again later."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    logged = sorted(lines, key=lambda line: (line["iteration"], line["kind"] == "eval"))
    return [{key: value for key, value in line.items() if key not in TIMES and "system/" not in key} for line in logged]


def assert_same(first: Any, second: Any, name: str) -> None:
    """Compare two trees of tensors and plain values to the bit."""
    assert type(first) is type(second), name
    if isinstance(first, dict):
        assert first.keys() == second.keys(), name
        for key, value in first.items():
            assert_same(value, second[key], f"{name}.{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), name
        for number, (one, other) in enumerate(zip(first, second, strict=True)):
            assert_same(one, other, f"{name}[{number}]")
    elif isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype, name
        assert torch.equal(first, second), name
    else:
        assert first == second, name


def assert_same_training(first: Path, second: Path) -> None:
    one, other = checkpoint(first), checkpoint(second)
    assert one.keys() == other.keys()
    for part in one.keys() - OWN:
        assert_same(one[part], other[part], part)
    assert records(first) == records(second)
