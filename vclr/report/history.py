"""What a training recorded on its way: metrics.jsonl of its run folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vclr.catalog.weights import name_old_metrics
from vclr.errors import UserError


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read `metrics.jsonl`. A resumed training may repeat an iteration; its last record counts.

    Raises:
        UserError: the file is missing or a line is not a record.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    records = {}
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            records[record["kind"], record["iteration"]] = name_old_metrics(record)
        except (ValueError, TypeError, KeyError):
            raise UserError(f"{path}: line {number}: is not a record with `kind` and `iteration`") from None
    return [records[key] for key in sorted(records)]


def training_minutes(history: list[dict[str, Any]]) -> float:
    """Return how long the steps of a training took in total."""
    done, seconds = 0, 0.0
    for record in history:
        if record["kind"] == "train":
            seconds += (record["iteration"] - done) * record.get("step_seconds", 0.0)
            done = record["iteration"]
    return seconds / 60
