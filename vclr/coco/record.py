"""The record beside a json that a command made: its sources, and what was kept or left out."""

from __future__ import annotations

from pathlib import Path

from vclr.files import sync_folder


def record_path(output: str | Path) -> Path:
    """Return the path of the record of a json."""
    return Path(output).with_suffix(".record.json")


def remove_record(output: str | Path) -> None:
    """Delete the record of an earlier json before the json is replaced.

    The new record is written after the json: if the process is killed in between, the json has no record, but never the
    record of another.
    """
    if record_path(output).exists():
        record_path(output).unlink()
        sync_folder(Path(output).parent)
