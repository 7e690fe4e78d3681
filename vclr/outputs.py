"""Outputs that may be inputs: what a command checks before it works, so that it writes over nothing that it reads.

Nor over a file that is not of its kind: no command made that one.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from vclr.errors import UsageError

Inputs = Mapping[str, "Path | str | Iterable[Path] | None"]  # what errors call an input, and the file or files

Kind = tuple[tuple[str, ...], tuple[bytes, ...]]  # of a file: top-level keys of its json, or how it begins

SNIFFED = 1 << 16  # bytes of an existing file that say of which kind it is
COCO_KEYS = ("images", "annotations", "categories")  # of which one is near the beginning of the file
EVALUATION: dict[str, Kind] = {
    "metrics.json": (("groups", "num_images", "box_ar@100"), ()),
    "predictions.json": ((), (b"[]", b'[{"image_id"')),
}
_PAGE = b'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="'
REPORT: dict[str, Kind] = {
    # The second is how the pages of earlier versions begin, which do not name what wrote them.
    "report.html": (
        (),
        (_PAGE + b'generator" content="vclr report">', _PAGE + b'viewport" content="width=device-width'),
    ),
    "summary.json": (("experiments", "test_sets"), ()),
}
STUDY: dict[str, Kind] = {
    "study.md": ((), ("Mean ± standard deviation over ".encode(),)),
    "study.json": (("target", "test_sets"), ()),
}
CHECKPOINT_STARTS = (b"PK\x03\x04", b"\x80")  # zip of torch.save; pickle


def check_output_file(
    output: Path, inputs: Inputs, keys: Iterable[str] = (), starts: tuple[bytes, ...] = (), option: str = "--output"
) -> None:
    """Refuse a file that a command should not write.

    Args:
        output: the file to write; its folder need not exist.
        inputs: what the command reads.
        keys: top-level keys of the json that the command writes; a file that is there must have one of them.
        starts: instead, how the file that the command writes begins.
        option: what errors call the output.

    Raises:
        UsageError: it is one of the inputs, also by a link; it is a folder; it exists and was not made by this command;
            or its folder cannot be made or written to.
    """
    for name, path in _flatten(inputs):
        if _is_same(output, path):
            raise UsageError(f"{option} {output}: is what {name} reads; give the output another name")
    if os.path.isdir(output):
        raise UsageError(f"{option} {output}: is a folder; name a file, {output / 'NAME.json'} say")
    if os.path.exists(output):
        _check_kind(output, tuple(keys), starts, option)
    check_writable(output.parent, f"{option} {output}")


def check_output_folder(
    output: Path, inputs: Inputs, files: Mapping[str, Kind] | None = None, option: str = "--output"
) -> None:
    """Refuse a folder that a command should not write into.

    Args:
        output: the folder; it need not exist.
        inputs: what the command reads.
        files: the files that the command writes in it, each with the kind that one of this name must be of.
        option: what errors call the output.

    Raises:
        UsageError: it is a file; one of its files is an input, or was not made by this command; or it cannot be made
            or written to.
    """
    if os.path.exists(output) and not os.path.isdir(output):
        raise UsageError(f"{option} {output}: is a file; name a folder")
    for file, kind in (files or {}).items():
        for name, path in _flatten(inputs):
            if _is_same(output / file, path):
                raise UsageError(f"{option} {output}: {file} in it is what {name} reads; name another folder")
        if os.path.isdir(output / file):
            raise UsageError(f"{option} {output}: {file} in it is a folder; name another folder")
        if os.path.exists(output / file):
            _check_kind(output / file, *kind, option)
    check_writable(output, f"{option} {output}")


def _flatten(inputs: Inputs) -> Iterable[tuple[str, Path]]:
    for name, value in inputs.items():
        if isinstance(value, (str, Path)):
            if str(value):
                yield name, Path(value)
        elif value is not None:
            yield from ((name, path) for path in value)


def _is_same(output: Path, path: Path) -> bool:
    """Tell whether two paths are one file, or, as long as it does not exist, would be."""
    try:
        return os.path.samefile(output, path)
    except (OSError, ValueError):
        return os.path.realpath(output) == os.path.realpath(path)


def _check_kind(output: Path, keys: tuple[str, ...], starts: tuple[bytes, ...], option: str) -> None:
    says = f"{option} {output}: exists, and this command did not write it; move it away, or give another name"
    if not os.path.isfile(output):  # a device, say
        raise UsageError(f"{option} {output}: is no file that can be replaced; give another name")
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
    """Refuse a folder that cannot be written to, or that cannot be made in the first folder above it that exists.

    Raises:
        UsageError: names `output`, which is to be written there, and why it cannot be.
    """
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place) or place == place.parent)
    if not os.path.isdir(there):
        raise UsageError(f"{output}: {there} is {'a file' if os.path.exists(there) else 'a broken link'}, not a folder")
    try:  # what a file system permits, only it knows
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise UsageError(f"{output}: cannot be written: {there}: {error.strerror}; name another folder") from None
