"""What a training recorded on its way: metrics.jsonl of its run folder. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vclr.catalog.weights import name_old_metrics
from vclr.errors import UserError
from vclr.tracking.points import parse_record


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read `metrics.jsonl`, except for a last line that was cut off when a training was killed.

    Raises:
        UserError: the file is missing or a line is not a record.
    """
    try:
        *lines, rest = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    records = [parse_record(line) for line in lines]
    if None in records:
        number = records.index(None) + 1
        raise UserError(f"{path}: line {number}: is not a record with `kind` and `iteration`; remove the line")
    return [name_old_metrics(record) for record in (*records, parse_record(rest)) if record is not None]
