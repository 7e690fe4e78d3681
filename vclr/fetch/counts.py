"""Compare what a json of annotations holds with what its publisher says."""

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
        expected: of `images`, `annotations` or other lists in it.

    Raises:
        UserError: the file is not json of annotations, or a list is of another length.
    """
    coco = open_official(path)
    lists = {**coco.head, "annotations": coco.annotations}
    for name, number in expected.items():
        if len(lists.get(name, ())) != number:
            raise UserError(f"{path}: holds {len(lists.get(name, ()))} {name}, expected {number}")
    return coco
