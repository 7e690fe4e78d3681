"""Compare the contents of an annotation json with the counts that its publisher states."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vclr.coco.file import CocoFile
from vclr.coco.official import open_official
from vclr.errors import UserError


def check_counts(path: Path, expected: Mapping[str, int]) -> CocoFile:
    """Open a json and compare the lengths of its lists.

    Args:
        path: the json.
        expected: lengths of `images`, `annotations` or other lists in it.

    Raises:
        UserError: the file is not an annotation json, or a list has another length.
    """
    coco = open_official(path)
    lists = {**coco.head, "annotations": coco.annotations}
    for name, number in expected.items():
        if len(lists.get(name, ())) != number:
            raise UserError(f"{path}: holds {len(lists.get(name, ()))} {name}, expected {number}")
    return coco
