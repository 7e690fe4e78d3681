"""Odd values, and what can be done to json, YAML and bytes."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

# The text `@SECRET@` becomes the path of a file that no command may read or write.
SECRET = "@SECRET@"
DEEP: Any = None
for _ in range(60):
    DEEP = [DEEP]

NUMBERS: list[Any] = [0, -1, 1, 2, 0.5, -0.0, 1e-320, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63), 10**400, 1e308, -1e308]
NUMBERS += [float("nan"), float("inf"), float("-inf"), 1.0, 999983, 1e6, 46341]
TEXTS: list[Any] = ["", " ", ".", "..", "/", "0", "1", "1.5", "NaN", "None", "null", "a.png", "A.PNG", "./a.png"]
TEXTS += [
    "\u00e9",
    "e\u0301",
    "\x00",
    "a\x00.png",
    "\ud800",
    "\u202e",
    "\U0001f600",
    "line\nbreak",
    "\x1b[31m",
    "x" * 5000,
]
TEXTS += ["../beside/secret.png", SECRET, "/etc/passwd", "..\\beside\\secret.png", "C:\\a.png", "c:a.png", "~/a.png"]
TEXTS += ["%s%s%n", "${oc.env:HOME}", "a" * 300 + ".png", "sub/../a.png", "a.png/", "con", "file:///etc/passwd", "<b>"]
OTHERS: list[Any] = [
    None,
    True,
    False,
    [],
    [[]],
    {},
    {"a": 1},
    [None],
    ["a"],
    [1],
    [1, 2, 3, 4],
    [[1, 2], [3, 4]],
    DEEP,
]
OTHERS += [[0] * 1000, {"id": 1}, {"size": [40, 60], "counts": [2400]}, {"size": [40, 60], "counts": "!!"}]
ODD = [*NUMBERS, *TEXTS, *OTHERS]

Path = tuple[Any, ...]  # keys and positions that lead to a value


def alter_json(content: Any, chance: random.Random) -> Any:
    """Return a copy of a document in which one value, or a few, are odd."""
    changed = copy.deepcopy(content)
    for _ in range(chance.choice([1, 1, 1, 1, 2, 3, 8])):
        places = list_places(changed)
        if not places:
            break
        changed = _alter_at(changed, chance.choice(places), chance)
    return changed


def list_places(content: Any, place: Path = ()) -> list[Path]:
    """List the ways to all values in a document; from long lists, to the first and the last ones."""
    places: list[Path] = []
    if isinstance(content, dict):
        items = list(content.items())
    elif isinstance(content, list):
        items = list(enumerate(content))
        items = items if len(items) <= 8 else items[:4] + items[-2:]
    else:
        items = []
    for key, value in items:
        places.append((*place, key))
        if len(place) < 12:
            places += list_places(value, (*place, key))
    return places


def put(content: Any, place: Path, value: Any) -> Any:
    """Return a copy of a document that has another value at a place."""
    changed = copy.deepcopy(content)
    _owner(changed, place)[place[-1]] = value
    return changed


def _owner(content: Any, place: Path) -> Any:
    for key in place[:-1]:
        content = content[key]
    return content


def _alter_at(content: Any, place: Path, chance: random.Random) -> Any:
    owner, key = _owner(content, place), place[-1]
    value = owner[key]
    deed = chance.choice(["odd"] * 6 + ["remove", "twice", "nest", "swap", "text", "number", "rename", "shuffle"])
    if deed == "remove":
        del owner[key]
    elif deed == "twice" and isinstance(owner, list):
        owner.insert(chance.randrange(len(owner) + 1), copy.deepcopy(value))
    elif deed == "nest":
        owner[key] = chance.choice([[value], {"a": value}, [value, value]])
    elif deed == "swap":
        other = chance.choice(list_places(content))
        owner[key] = copy.deepcopy(_owner(content, other)[other[-1]])
    elif deed == "text":
        owner[key] = str(value)[:1000]
    elif deed == "number" and isinstance(value, (int, float)) and not isinstance(value, bool):
        factor = chance.choice([-1, 0.5, 1.0, 1e3, 1e9, -1e-9])
        owner[key] = value * factor if abs(value) < 1e100 else -value
    elif deed == "rename" and isinstance(owner, dict):
        owner[chance.choice([key.upper() if isinstance(key, str) else "a", "", "ID", "\ud800"])] = owner.pop(key)
    elif deed == "shuffle" and isinstance(value, list):
        chance.shuffle(value)
    else:
        owner[key] = copy.deepcopy(chance.choice(ODD))
    return content


def to_text(content: Any) -> str:
    """Return a document as json, NaN and all."""
    return json.dumps(content)


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def _flip(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 10])):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, chance: random.Random) -> bytes:
    start, size = chance.randrange(len(data)), chance.choice([1, 4, 16, 256])
    return data[:start] + chance.randbytes(size) + data[start + size :]


def _remove(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + data[start + chance.choice([1, 2, 16, 100]) :]


def _repeat(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    stop = start + chance.choice([1, 8, 64, 500])
    return data[:stop] + data[start:stop] * chance.choice([1, 2, 20]) + data[stop:]


def _append(data: bytes, chance: random.Random) -> bytes:
    return data + chance.choice([b"\x00", b"\n\n", b"junk", data, chance.randbytes(100)])


def _zero_tail(data: bytes, chance: random.Random) -> bytes:
    """Return a file of the right length of which the end never reached the disk."""
    stop = chance.randrange(len(data))
    return data[:stop] + bytes(len(data) - stop)


DAMAGES: list[Callable[[bytes, random.Random], bytes]] = [
    _cut, _flip, _overwrite, _remove, _repeat, _append, _zero_tail,
]  # fmt: skip


def damage(data: bytes, chance: random.Random) -> bytes:
    """Return bytes as a bad disk, a cut line or a bad program leaves them."""
    return chance.choice(DAMAGES)(data, chance)


def _odd_token(data: bytes, chance: random.Random) -> bytes:
    """Put an odd token in the place of a number."""
    tokens = [
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"9" * 5000,
        b"01",
        b"+1",
        b".5",
        b"1_000",
        b"0x10",
        b"--1",
        b"1e",
        b"'1'",
    ]
    tokens += [b"undefined", b"nan", b"\xff", b"\xed\xa0\x80", b'"\\ud800"', b'"\\x41"', b'"\t"', b"/* 1 */ 1", b"1,"]
    tokens += [b"[" * 100_000, b"[" * 5000 + b"]" * 5000, b'{"a":' * 5000 + b"1" + b"}" * 5000, b"tru", b"1 2"]
    starts = [place for place in range(1, len(data)) if data[place : place + 1].isdigit()]
    start = chance.choice(starts or [0])
    stop = start
    while stop < len(data) and (data[stop : stop + 1].isdigit() or data[stop : stop + 1] in b".-e"):
        stop += 1
    return data[:start] + chance.choice(tokens) + data[stop:]


def _whole_file(data: bytes, chance: random.Random) -> bytes:
    text = data.decode("utf-8", "replace")
    return chance.choice(
        [
            b"", b" ", b"\n", b"null", b"[]", b"{}", b"0", b'"text"', b"NaN", b"\x00" * 100, b"\xef\xbb\xbf" + data,
            text.encode("utf-16"), text.encode("utf-16-le"), text.encode("utf-32"), data.replace(b"\n", b"\r\n"),
            b"[" + data + b"]", data + data, b"\x1f\x8b\x08" + data, b"PK\x03\x04" + data, text.encode("cp037",
            "replace"),
            b"<html><body>404 Not Found</body></html>", b"version https://git-lfs.github.com/spec/v1\n",
            b"[" * 200_000, b'{"images":' * 30_000, b"\xff\xfe", b"%PDF-1.4", b"---\n- a\n", b"\x80\x04K\x01.",
        ]
    )  # fmt: skip


def damage_text(data: bytes, chance: random.Random) -> bytes:
    """Return a json as other programs, editors and cut lines leave it."""
    return chance.choice([_odd_token, _odd_token, _whole_file, damage])(data, chance)
