"""Which annotations a published protocol was evaluated on, and how the published ones differ from the rebuilt ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from vclr.catalog.data_sets import PUBLISHED, DataSet, find_test_set
from vclr.coco.annotations import Json
from vclr.data.origins import how_to_get
from vclr.errors import UserError
from vclr.evaluation.evaluated_set import EvaluatedSet
from vclr.files import read_json
from vclr.splits.compare import Comparison

MAX_CLASSES = 10  # that a cell names


class _Identity(msgspec.Struct):
    file: str
    sha256: str


class _Recorded(msgspec.Struct):
    """What `vclr split --comparison` wrote."""

    official: _Identity
    published: _Identity


def describe_origin(test_set: EvaluatedSet) -> dict[str, str]:
    """Return rows for the table of a test set: its files, and why they were not compared with the other ones.

    Empty if it is of no published protocol, or if an earlier version evaluated it.
    """
    origin, known = test_set.origin, find_test_set(test_set.annotations)
    if origin is None or known is None:
        return {}
    source = (
        f", made from {origin.json} (sha256 {origin.sha256})" if origin.json else ", without a record of its source"
    )
    if known.published is None:
        return {"files": f"{origin.files}{source}; no json of this test set is published"}
    why = _why_not_compared(test_set, known)
    return {"files": origin.files + source, **({"published and rebuilt": f"not compared: {why}"} if why else {})}


def comparison_table(test_set: EvaluatedSet) -> Json | None:
    """Return the comparison of the published annotations with the rebuilt ones as a table; None if there is none."""
    known = find_test_set(test_set.annotations)
    if test_set.origin is None or known is None or known.published is None or _why_not_compared(test_set, known):
        return None
    path = known.comparison(_root(test_set))
    compared, recorded = _read(path, Comparison), _read(path, _Recorded)
    rows = [
        (kind, f"{one.split:,}", f"{one.file:,}", f"{one.only_split:,}", f"{one.only_file:,}")
        for kind, one in (("images", compared.images), ("annotations", compared.annotations))
    ]
    only = [_name_classes(classes) for classes in (compared.classes_only_split, compared.classes_only_file)]
    return {
        "is_same": not compared.differences,
        "rows": [*rows, ("official classes of these annotations", "", "", *only)],
        "differences": compared.differences,
        "files": f"{recorded.official.file} (sha256 {recorded.official.sha256}) and "
        f"{recorded.published.file} (sha256 {recorded.published.sha256})",
    }


def _root(test_set: EvaluatedSet) -> Path:
    return Path(test_set.annotations).parent.parent


def _why_not_compared(test_set: EvaluatedSet, known: DataSet) -> str:
    """Say why there is no comparison that the evaluated json is part of; empty if there is one."""
    root, origin = _root(test_set), test_set.origin
    assert origin is not None and known.published is not None
    path = known.comparison(root)
    if path.is_file():
        recorded = _read(path, _Recorded)
        used = recorded.published if origin.files == PUBLISHED else recorded.official
        return "" if used.sha256 == origin.sha256 else f"{path} is of another {used.file}"
    for json in (known.json, known.published[1]):
        if not (root / json).is_file():
            return f"{root / json} does not exist; {how_to_get(root / json)}"
    return f"`vclr split {known.comparison_arguments(root)}` was not run"


def _read(path: Path, kind: type) -> Any:
    try:
        return msgspec.convert(read_json(path), kind)
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: is not a comparison: {error}; delete it") from None


def _name_classes(classes: dict[str, int]) -> str:
    """Name classes with their numbers, the most frequent ones first."""
    named = [f"{name or 'not official'} {number:,}" for name, number in list(classes.items())[:MAX_CLASSES]]
    return ", ".join(named) + (f" and {len(classes) - MAX_CLASSES} more" if len(classes) > MAX_CLASSES else "")
