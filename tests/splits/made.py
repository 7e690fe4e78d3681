"""A split made and written in one go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vclr.coco.record import record_path
from vclr.files import write_json
from vclr.splits.record import find_leaks, save_split
from vclr.splits.split import make_split


def write_split(
    name: str,
    annotations: str | Path,
    output: str | Path,
    proposals: str | Path | None = None,
    images: str | Path | None = None,
    train: str | Path | None = None,
    **options: Any,
) -> str:
    """Write a split and its record as `vclr split` does, and return what it holds; options as of `find_leaks`."""
    made = make_split(name, annotations, proposals, images)
    return save_split(made, output, None if train is None else find_leaks(made, images, train, **options))


def write_record(output: Path, annotations: str, proposals: str = "") -> None:
    """Write the record of a split that was made of files of these names."""
    files = {"annotations": annotations, "output": output.name} | ({"proposals": proposals} if proposals else {})
    write_json(
        record_path(output), {"split": "s", **{key: {"file": name, "sha256": "0"} for key, name in files.items()}}
    )
