"""Checks of output paths before a command starts: it must not overwrite its inputs or files that it did not write."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from vclr.errors import UsageError

Inputs = Mapping[str, "Path | str | Iterable[Path] | None"]  # name of the input in errors, and its file or files

Kind = tuple[tuple[str, ...], tuple[bytes, ...]]  # of a file: top-level keys of its json, or its first bytes

SNIFFED = 1 << 16  # bytes of an existing file that are read to tell its kind
COCO_KEYS = ("images", "annotations", "categories")  # one of them is near the beginning of the file
EVALUATION: dict[str, Kind] = {
    "metrics.json": (("groups", "num_images", "box_ar@100"), ()),
    "predictions.json": ((), (b"[]", b'[{"image_id"')),
    "bootstrap.npz": ((), (b"PK\x03\x04",)),
    "provenance.json": (("checkpoint",), ()),  # of a shard; of all shards, metrics.json has it
}
_PAGE = b'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="'
REPORT: dict[str, Kind] = {
    # The second is how the pages of earlier versions begin, which do not name what wrote them.
    "report.html": (
        (),
        (_PAGE + b'generator" content="vclr report">', _PAGE + b'viewport" content="width=device-width'),
    ),
    "summary.json": (("experiments", "test_sets"), ()),
    "ledger.md": ((), (b"# Ledger of published values",)),
    # Lists of rows, as `write_json` indents them.
    "curves.json": ((), (b"[]", b'[\n {\n  "iteration":')),
    "recall_by_size.json": ((), (b"[]", b'[\n {\n  "objects":')),
}
# How a file of proposals begins, whole or of a shard. Its other keys are those of any annotations, which must be kept.
PROPOSALS_STARTS = (b'{"info": {"method": ', b'{"shard": "')
VIEWS_PAGE = (_PAGE + b'generator" content="vclr views inspect">',)  # how the page of `vclr views inspect` begins
VIEWS_KEYS = ("inspected",)  # of its json
STUDY: dict[str, Kind] = {
    "study.md": ((), ("Mean ± standard deviation over ".encode(),)),
    "study.json": (("target", "test_sets"), ()),
}
PROBE_FILE = "probe.json"
PROBE: dict[str, Kind] = {PROBE_FILE: (("renderings",), ()), "probe.png": ((), (b"\x89PNG",))}
CHECKPOINT_STARTS = (b"PK\x03\x04", b"\x80")  # zip of torch.save; pickle


def check_output_file(
    output: Path,
    inputs: Inputs,
    keys: Iterable[str] = (),
    starts: tuple[bytes, ...] = (),
    option: str = "--output",
    suffix: str = ".json",
) -> None:
    """Refuse an output file that a command must not write.

    Args:
        output: the file to write; its folder need not exist.
        inputs: what the command reads.
        keys: top-level keys of the json that the command writes; an existing file must have one of them.
        starts: instead of `keys`, possible first bytes of the file that the command writes.
        option: the name of the output in errors.
        suffix: the usual ending of the file, for the example in an error.

    Raises:
        UsageError: it is one of the inputs, also through a link; it is a folder; it exists and was not written by this
            command; or its folder cannot be created or written to.
    """
    for name, path in _flatten(inputs):
        if is_same_file(output, path):
            raise UsageError(f"{option} {output}: is also given as {name}; choose another name")
    if os.path.isdir(output):
        raise UsageError(f"{option} {output}: is a folder; name a file, for example {output / f'NAME{suffix}'}")
    if os.path.exists(output):
        _check_kind(output, tuple(keys), starts, option)
    check_writable(output.parent, f"{option} {output}")


def check_output_folder(output: Path, inputs: Inputs, files: Mapping[str, Kind] | None = None) -> None:
    """Refuse an output folder that a command must not write into.

    Args:
        output: the folder; it need not exist.
        inputs: what the command reads.
        files: the files that the command writes into it, each with the kind that an existing file must have.

    Raises:
        UsageError: it is a file; one of its files is an input or was not written by this command; or it cannot be
            created or written to.
    """
    if os.path.exists(output) and not os.path.isdir(output):
        raise UsageError(f"--output {output}: is a file; name a folder")
    for file, kind in (files or {}).items():
        for name, path in _flatten(inputs):
            if is_same_file(output / file, path):
                raise UsageError(f"--output {output}: {file} in it is also given as {name}; choose another folder")
        if os.path.isdir(output / file):
            raise UsageError(f"--output {output}: {file} in it is a folder; choose another folder")
        if os.path.exists(output / file):
            _check_kind(output / file, *kind, "--output")
    check_writable(output, f"--output {output}")


def _flatten(inputs: Inputs) -> Iterable[tuple[str, Path]]:
    for name, value in inputs.items():
        if isinstance(value, (str, Path)):
            if str(value):
                yield name, Path(value)
        elif value is not None:
            yield from ((name, path) for path in value)


def is_same_file(output: Path, path: Path) -> bool:
    """Tell whether two paths are the same file, or would be if it existed."""
    try:
        return os.path.samefile(output, path)
    except (OSError, ValueError):
        return os.path.realpath(output) == os.path.realpath(path)


def _check_kind(output: Path, keys: tuple[str, ...], starts: tuple[bytes, ...], option: str) -> None:
    says = f"{option} {output}: exists, but was not written by this command; move it away, or choose another name"
    if not os.path.isfile(output):  # a device, for example
        raise UsageError(f"{option} {output}: is not a regular file; choose another name")
    try:
        with open(output, "rb") as file:
            head = file.read(SNIFFED)
    except OSError as error:
        raise UsageError(f"{option} {output}: exists and cannot be read: {error.strerror}") from None
    if not head.strip():
        return
    if starts and not head.lstrip().startswith(starts):
        raise UsageError(says)
    if keys and not (head.lstrip().startswith(b"{") and re.search(rf'"({"|".join(keys)})"\s*:'.encode(), head)):
        raise UsageError(says)


def check_writable(folder: Path, output: str) -> None:
    """Refuse a folder that cannot be written to, or that cannot be created in its nearest existing parent.

    Raises:
        UsageError: names `output`, which would be written there, and the reason.
    """
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place) or place == place.parent)
    if not os.path.isdir(there):
        raise UsageError(f"{output}: {there} is {'a file' if os.path.exists(there) else 'a broken link'}, not a folder")
    try:  # permissions alone do not tell whether the file system allows it
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise UsageError(f"{output}: cannot be written: {there}: {error.strerror}; choose another folder") from None
