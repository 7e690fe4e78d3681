"""The names of the two sets of weights that a training keeps, and the names of their metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STUDENT, TEACHER = "student", "teacher"
WEIGHTS = (STUDENT, TEACHER)


def name_metrics(weights: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return metrics under the names that an evaluation during a training gives them: `teacher/mask_ar@100`."""
    return {f"{weights}/{name}": value for name, value in metrics.items()}


def name_old_metrics(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record of metrics.jsonl in which each metric says whose it is; in older files all are the student's."""
    if record["kind"] != "eval":
        return record
    own = {key: record[key] for key in ("kind", "iteration", "time") if key in record}
    old = {key: value for key, value in record.items() if key not in own and "/" not in key}
    return own | name_metrics(STUDENT, old) | {key: value for key, value in record.items() if "/" in key}
