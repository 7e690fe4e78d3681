"""Decode and parse json, and say in one line what is wrong with it and where."""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from vclr.errors import UserError
from vclr.wording import short_id

# Longer marks come first, because UTF-32's little-endian mark begins with UTF-16's.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
BINARY = (b"\x89PNG", b"\xff\xd8\xff", b"PK\x03\x04")  # pictures, and zip, which torch and numpy write


class BadNumber(NamedTuple):
    """NaN or an infinity, which json does not allow.

    Attributes:
        key: the key at the top level; empty if the top level is a list.
        position: the index in that key's list; None if its value is not a list.
        says: one line that says where the number is and which number it is.
    """

    key: str
    position: int | None
    says: str


class _BadNumberError(Exception):
    """Raised when a text contains NaN or Infinity."""


def decode_text(data: bytes, source: object) -> str:
    """Decode a text file as UTF-8, or as its byte order mark says; the mark is removed.

    Raises:
        UserError: the file is no text, or has another encoding; names the line and how to convert it.
    """
    marked = (one for one in BYTE_ORDER_MARKS if data.startswith(one[0]))
    mark, encoding = next(marked, (b"", "utf-8"))
    if data.startswith(b"\x1f\x8b"):
        raise UserError(f"{source}: is compressed with gzip; decompress it with gunzip")
    if data.startswith(BINARY) or (not mark and b"\0\0\0" in data[:1024]):
        raise UserError(f"{source}: is a binary file, not text")
    try:
        return data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, len(mark) + error.start) + 1
        says = f"is not UTF-8 text (byte 0x{error.object[error.start]:02x})"
        fix = "convert it, for example with `iconv -f windows-1252 -t utf-8` (or `-f gb18030`)"
        raise UserError(f"{source}: line {line}: {says}; {fix}") from None


def parse_json(data: bytes, source: object) -> Any:
    """Parse a json file.

    Raises:
        UserError: it is not json (for example truncated), or contains NaN or Infinity, which json does not allow; names
            `source`, and the line and column or the entry.
    """
    text = decode_text(data, source)
    if not text or text.isspace():
        raise UserError(f"{source}: is empty, which is not valid json")
    try:
        return _load(text, source, parse_constant=_refuse)
    except _BadNumberError:
        (bad,) = find_bad_numbers(_load(text, source), limit=1)
        raise UserError(f"{source}: {bad.says}") from None


def parse_json_with_bad_numbers(data: bytes, source: object) -> Any:
    """Parse a json file, with NaN and infinities as Python floats; see `find_bad_numbers`."""
    return _load(decode_text(data, source), source)


def _load(text: str, source: object, **options: Any) -> Any:
    try:
        return json.loads(text, **options)
    except json.JSONDecodeError as error:
        raise UserError(f"{source}: line {error.lineno} column {error.colno}: not valid json: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # a number with thousands of digits, or too deeply nested lists
        raise UserError(f"{source}: not usable json: {error}") from None


def _refuse(constant: str) -> Any:
    raise _BadNumberError(constant)


def find_bad_numbers(content: Any, limit: int | None = None) -> list[BadNumber]:
    """Find numbers that are not finite: the first one in each entry of a list.

    Args:
        content: the parsed json.
        limit: the maximum number of results.
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
    """Yield the path within an entry and the value of each number that is not finite, in the order of the file."""
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
    """Return a line about the first number of an entry that is not finite, or an empty string if all are finite.

    Args:
        key: the key at the top level; empty if the top level is a list.
        position: the index of the entry in that key's list; None if its value is not a list.
        entry: the parsed entry.
    """
    first = next(_walk(entry), None)
    if first is None:
        return ""
    place, number = first
    has_id = isinstance(entry, dict) and isinstance(entry.get("id"), (int, str))
    entry_id = f" (id {short_id(entry['id'])})" if has_id else ""
    where = f"{key}{'' if position is None else f'[{position}]'}{entry_id}"
    name = "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
    says = f"{place} is {name}, which is not valid json" if place else f"{name} is not valid json"
    return f"{where}: {says}" if where else says
