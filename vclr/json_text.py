"""Json as text: how bytes become characters, and in one line what is wrong with them and where."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from vclr.errors import UserError

# What a file in another encoding than UTF-8 may begin with; the longer marks first, which begin like the shorter ones.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class BadNumber(NamedTuple):
    """A number that json does not have.

    Attributes:
        key: of the top level, empty if that is a list.
        position: in the list of that key, None if it is no list.
        says: in one line, where it is and which number it is.
    """

    key: str
    position: int | None
    says: str


class _BadNumberError(ValueError):
    """Say that a text holds NaN or Infinity."""


def decode_text(data: bytes, source: object) -> str:
    """Return the characters of a text file: of UTF-8, or of what its byte order mark says, which is left out.

    Raises:
        UserError: the file is of another encoding; names the line and how to convert it.
    """
    marked = (one for one in BYTE_ORDER_MARKS if data.startswith(one[0]))
    mark, encoding = next(marked, (b"", "utf-8"))
    if data.startswith(b"\x1f\x8b"):
        raise UserError(f"{source}: is compressed with gzip; unpack it (gunzip)")
    try:
        return data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, len(mark) + error.start) + 1
        says = f"is not UTF-8 text (byte 0x{error.object[error.start]:02x})"
        fix = "convert it: iconv -f gb18030 -t utf-8, say, or -f windows-1252"
        raise UserError(f"{source}: line {line}: {says}; {fix}") from None


def parse_json(data: bytes, source: object) -> Any:
    """Return what a json file holds.

    Raises:
        UserError: it is no json (cut off, say), or holds NaN or Infinity, which json does not have; names `source`, and
            line and column or the entry.
    """
    text = decode_text(data, source)
    try:
        return _load(text, source, parse_constant=_refuse)
    except _BadNumberError:
        (bad,) = find_bad_numbers(_load(text, source), limit=1)
        raise UserError(f"{source}: {bad.says}") from None


def parse_json_with_bad_numbers(data: bytes, source: object) -> Any:
    """Return what a json file holds, with NaN and infinity as Python has them; see `find_bad_numbers`.

    Raises:
        UserError: it is no json.
    """
    return _load(decode_text(data, source), source)


def _load(text: str, source: object, **options: Any) -> Any:
    try:
        return json.loads(text, **options)
    except json.JSONDecodeError as error:
        raise UserError(f"{source}: line {error.lineno} column {error.colno}: not valid json: {error.msg}") from None
    except _BadNumberError:
        raise
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists within lists without end
        raise UserError(f"{source}: not usable json: {error}") from None


def _refuse(constant: str) -> Any:
    raise _BadNumberError(constant)


def find_bad_numbers(content: Any, limit: int | None = None) -> list[BadNumber]:
    """Find the numbers that are not finite: of each entry of a list the first.

    Args:
        content: what Python read of a json.
        limit: numbers to find at most.
    """
    found: list[BadNumber] = []
    parts = content.items() if isinstance(content, dict) else [("", content)]
    for key, value in parts:
        entries = enumerate(value) if isinstance(value, list) else [(None, value)]
        for position, entry in entries:
            if says := say_bad_number(key, position, entry):
                found.append(BadNumber(key, position, says))
                if len(found) == limit:
                    return found
    return found


def _walk(entry: Any) -> Iterator[tuple[str, float]]:
    """Yield the place below an entry and the value of each number that is not finite, in the order of the file."""
    waiting: list[tuple[str, Any]] = [("", entry)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, float):
            if not math.isfinite(value):
                yield place, value
        elif isinstance(value, dict):
            waiting += [(f"{place}.{key}" if place else str(key), part) for key, part in reversed(value.items())]
        elif isinstance(value, list):
            waiting += [(f"{place}[{number}]", part) for number, part in reversed([*enumerate(value)])]


def say_bad_number(key: str, position: int | None, entry: Any) -> str:
    """Say which number of an entry is not finite, the first; nothing if all are.

    Args:
        key: of the top level of a json, empty if that is a list.
        position: of the entry in the list of that key, None if it is no list.
        entry: what Python read.
    """
    first = next(_walk(entry), None)
    if first is None:
        return ""
    place, number = first
    entry_id = f" (id {entry['id']})" if isinstance(entry, dict) and isinstance(entry.get("id"), (int, str)) else ""
    where = f"{key}{'' if position is None else f'[{position}]'}{entry_id}"
    name = "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    subject = f"{place} {name}" if place else name
    return f"{where}: {subject} is not a number that json has" if where else f"{subject} is not a number that json has"
