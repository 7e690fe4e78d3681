"""Count what a large json holds without holding it in memory."""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Mapping
from pathlib import Path

from vclr.errors import UserError

STRUCTURE = re.compile(rb'["{}\[\]]')
REST_OF_STRING = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def count_objects(path: Path) -> dict[str, int]:
    """Return how many objects are in each list of the outermost object of a json.

    LVIS's training annotations, of a gigabyte, would take several as Python objects; this takes half a minute.

    Raises:
        UserError: the file is cut off, or is no json object.
    """
    counts: dict[str, int] = {}
    name, depth, place = "", 0, 0
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise UserError(f"{path}: is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            while found := STRUCTURE.search(content, place):
                place = found.end()
                mark = found.group()
                if mark == b'"':
                    string = REST_OF_STRING.match(content, place)
                    if string is None:
                        raise UserError(f"{path}: is cut off in a text")
                    place = string.end()
                    if depth == 1:
                        name = _text(string.group())
                elif mark in b"{[":
                    if depth == 0 and mark == b"[":
                        raise UserError(f"{path}: is not a json object")
                    if depth == 1 and mark == b"[":
                        counts[name] = 0
                    if depth == 2 and mark == b"{" and name in counts:
                        counts[name] += 1
                    depth += 1
                else:
                    depth -= 1
                    if depth <= 0:
                        break
            rest = content[place:]
    if depth != 0 or not counts or rest.strip():
        raise UserError(f"{path}: is cut off, or not a json object with lists")
    return counts


def check_counts(path: Path, expected: Mapping[str, int], counts: Mapping[str, int] | None = None) -> None:
    """Compare the lengths of lists in a json with what its publisher says.

    Raises:
        UserError: one differs.
    """
    found = count_objects(path) if counts is None else counts
    for name, number in expected.items():
        if found.get(name, 0) != number:
            raise UserError(f"{path}: holds {found.get(name, 0)} {name}, expected {number}")


def _text(rest: bytes) -> str:
    try:
        return str(json.loads(b'"' + rest))
    except ValueError:
        return ""
