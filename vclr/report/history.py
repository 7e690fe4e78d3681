"""What a report shows of a training on its way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vclr.evaluation.history import read_records


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read `metrics.jsonl`. A resumed training may repeat an iteration; its last record counts.

    Raises:
        UserError: as of `read_records`.
    """
    records = {(record["kind"], record["iteration"]): record for record in read_records(path)}
    return [records[key] for key in sorted(records)]


def training_minutes(history: list[dict[str, Any]]) -> float:
    """Return how long the steps of a training took in total."""
    done, seconds = 0, 0.0
    for record in history:
        if record["kind"] == "train":
            seconds += (record["iteration"] - done) * record.get("step_seconds", 0.0)
            done = record["iteration"]
    return seconds / 60
