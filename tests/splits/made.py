"""A split made and written in one go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
