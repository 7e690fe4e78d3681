"""The record beside a json that a command made: its sources, and what was kept or left out."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import msgspec

from vclr.errors import UserError
from vclr.files import read_json, sync_folder


class RecordedFile(msgspec.Struct):
    """A file as `identify` describes it: its name without folders, and its hash."""

    file: str
    sha256: str

    def __post_init__(self) -> None:
        if not self.file or PurePosixPath(self.file).name != self.file:
            raise ValueError(f"{self.file!r} is not the name of a file")


class SplitRecord(msgspec.Struct):
    """What a split was made of, and the json that was made."""

    split: str
    annotations: RecordedFile
    output: RecordedFile
    proposals: RecordedFile | None = None


def read_split_record(output: str | Path) -> SplitRecord | None:
    """Return the record beside a split; None if there is no record, or that of `vclr repair`.

    Raises:
        UserError: the file is not a record of a split.
    """
    path = record_path(output)
    content = read_json(path) if path.is_file() else None
    if content is None or (isinstance(content, dict) and "repaired" in content):
        return None
    try:
        return msgspec.convert(content, SplitRecord)
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: is not a record of `vclr split` ({error}); make the split again") from None


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
