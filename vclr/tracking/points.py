"""The curves of a training as MLflow shows them: which values of metrics.jsonl, under which keys."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vclr.catalog.metrics import SHOWN_METRICS
from vclr.catalog.weights import name_old_metrics

MAX_KEY_LENGTH = 250  # of mlflow.utils.validation
MAX_TIME = 1e11  # seconds since 1970; what is larger, or NaN, is damaged
EVALUATIONS = "eval_"  # begins the keys of evaluations on the way
NO_VALUES = ("kind", "iteration", "time")
# Groups of charts on MLflow's page. What is not named here is about the method, and belongs to the group `train`.
SPEED = ("step_seconds", "data_seconds", "images_per_second", "other_work")
LAYER = re.compile(r"loss_\w+_(\d+|enc)")  # a part of the loss at a layer before the last


class Point(NamedTuple):
    """One value of a curve; `time_ms` is when it was measured, in milliseconds since 1970."""

    key: str
    value: float
    iteration: int
    time_ms: int


def points_of(record: Mapping[str, Any], all_layers: bool = False) -> Iterator[Point]:
    """Yield the values of a line of metrics.jsonl that MLflow gets.

    Its page dies of hundreds of keys. So of the losses these are the total and the parts of the last layer, and of an
    evaluation the metrics that are shown everywhere. metrics.jsonl has all.

    Args:
        record: the line.
        all_layers: also the losses of the earlier layers and of the proposals, as `layers/...`.
    """
    record = name_old_metrics(dict(record))
    measured = record.get("time")
    time_ms = round(1000 * measured) if isinstance(measured, (int, float)) and abs(measured) < MAX_TIME else 0
    for name, value in record.items():
        if name in NO_VALUES or not isinstance(value, (int, float)) or isinstance(value, bool):
            continue
        if isinstance(value, int) and abs(value) > sys.float_info.max:
            continue
        if record["kind"] == "eval":
            if name.rpartition("/")[2] not in SHOWN_METRICS:
                continue
            key = f"{EVALUATIONS}{name}"  # eval_teacher/mask_ar@100: a group of charts for each
        elif LAYER.fullmatch(name):
            if not all_layers:
                continue
            key = f"layers/{name}"
        elif name in SPEED:
            key = f"speed/{name}"
        else:
            key = name if "/" in name else f"{record['kind']}/{name}"
        yield Point(valid_key(key), float(value), record["iteration"], time_ms)


def valid_key(key: str) -> str:
    """Return `key` with the characters that MLflow refuses replaced: `box_ar@100` becomes `box_ar_100`."""
    return re.sub(r"[^\w.\- /]", "_", key)[:MAX_KEY_LENGTH]


class NewRecords:
    """Read what a growing metrics.jsonl gained since the last look; only whole lines count.

    Attributes:
        num_damaged: how many of the lines were no records, and so were left out.
    """

    def __init__(self, path: Path) -> None:
        self._path, self.num_damaged = path, 0
        self._offset, self._inode = 0, -1

    def read(self) -> list[dict[str, Any]]:
        """Return the new records, and move on behind them."""
        try:
            with self._path.open("rb") as file:
                if self._inode != (inode := os.fstat(file.fileno()).st_ino):  # replaced by a training that goes on
                    self._offset, self._inode, self.num_damaged = 0, inode, 0
                file.seek(self._offset)
                whole = file.read().rpartition(b"\n")[0]
        except FileNotFoundError:
            return []
        self._offset += len(whole) + bool(whole)
        records = [parse_record(line) for line in whole.split(b"\n") if line]
        self.num_damaged += records.count(None)
        return [record for record in records if record is not None]


def parse_record(line: str | bytes) -> dict[str, Any] | None:
    """Return a line of metrics.jsonl; None if it is not a record."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    is_record = isinstance(record, dict) and isinstance(record.get("kind"), str)
    return record if is_record and type(record.get("iteration")) is int else None
