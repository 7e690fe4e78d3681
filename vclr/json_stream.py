"""Read the long list of a json file entry by entry, so that the file may be larger than the memory."""

from __future__ import annotations

import codecs
import io
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from vclr.files import read_bytes, sha256_of
from vclr.json_text import BYTE_ORDER_MARKS, parse_json

BLOCK = 1 << 20  # bytes that are read at once
WHITESPACE = re.compile(r"[ \t\n\r]*")
GAP = re.compile(rb"\}[ \t\n\r]*,[ \t\n\r]*\{")  # between two objects of a list; it may also occur within a text


class Block(NamedTuple):
    """Consecutive entries of the list, which may be damaged.

    Attributes:
        start: position in the file.
        text: the entries and the commas between them.
        starts: positions in the file where the entries start if they are objects and no text in them looks like a gap.
        stops: positions where these end.
    """

    start: int
    text: bytes
    starts: list[int]
    stops: list[int]


class JsonStream:
    """A json file that is a list, or an object with a list under a key.

    Attributes:
        head: the rest of the object, None if the file is a list; the whole content if the file has no such list.
        has_list: whether the file has the list. Iteration yields, for each entry of it, the positions in the file where
            the entry starts and ends, and the entry.
    """

    def __init__(self, path: str | Path, key: str) -> None:
        """Read everything but the list.

        Raises:
            UserError: as of `read_json`, of which iteration raises the remaining part.
        """
        self._path = path
        self._file = _open(path)
        mark = self._file.read(4)
        marks = (one for one in BYTE_ORDER_MARKS if mark.startswith(one[0]))
        known, self._encoding = next(marks, (b"", "utf-8"))
        self._list: int | None = None  # where it starts
        self.head: Any = None
        with self._exact_errors():
            self._read_head(_Cursor(self._file, self._encoding, len(known)), key)

    def __enter__(self) -> JsonStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __iter__(self) -> Iterator[tuple[int, int, Any]]:
        assert self._list is not None
        with self._exact_errors():
            cursor = _Cursor(self._file, self._encoding, self._list)
            yield from cursor.entries()
            if self.head is None:
                cursor.expect_end()

    @property
    def has_list(self) -> bool:
        return self._list is not None

    @property
    def has_blocks(self) -> bool:
        """Whether `blocks` can be used: the file is a list, in UTF-8."""
        return self.head is None and self._encoding == "utf-8"

    def find_starts(self, size: int) -> list[int]:
        """Return where `blocks` may start and stop, about `size` bytes from each other, from start to end of the list.

        If a text in the file looks like a gap between entries, the blocks may be damaged.
        """
        assert self._list is not None
        starts = [self._list + 1]
        while True:
            self._file.seek(starts[-1] + size)
            gap = GAP.search(self._file.read(BLOCK))
            if not gap:
                return [*starts, self._file.seek(0, io.SEEK_END)]
            starts.append(starts[-1] + size + gap.end() - 1)

    def blocks(self, start: int | None = None, stop: int | None = None) -> Iterator[Block]:
        """Yield all entries, many at once, for a decoder that is faster than iteration; or those of a part.

        Args:
            start: where the part starts, from `find_starts`.
            stop: where it stops.
        """
        assert self._list is not None
        with self._exact_errors():
            end = self._file.seek(0, io.SEEK_END)
            start, left = start or self._list + 1, (stop or end) - (start or self._list + 1)
            self._file.seek(start)
            text = b""
            while data := self._file.read(min(left, max(BLOCK, len(text)))):
                left -= len(data)
                text += data
                gaps = [gap.span() for gap in GAP.finditer(text)]
                if gaps:
                    rest = gaps[-1][1] - 1
                    yield _make_block(start, text[: gaps[-1][0] + 1], gaps[:-1])
                    start, text = start + rest, text[rest:]
                    self._file.seek(start + len(text))  # the caller may have read elsewhere
            yield from _last_block(start, text, b"]" if stop in (None, end) else b",")

    def entries_of(self, block: Block) -> Iterator[tuple[int, int, Any]]:
        """Yield what iteration yields of the entries of a block."""
        with self._exact_errors():
            cursor = _Cursor(io.BytesIO(b"[" + block.text + b"]"), self._encoding, 0)
            for start, stop, entry in cursor.entries():
                yield block.start - 1 + start, block.start - 1 + stop, entry
            cursor.expect_end()

    def read(self, start: int, stop: int) -> list[Any]:
        """Return the entries between two positions: where the first one starts, and where the last one ends."""
        return cast(list[Any], json.loads(f"[{self.read_text(start, stop).decode(self._encoding)}]"))

    def read_text(self, start: int, stop: int) -> bytes:
        """Return the text between two positions."""
        self._file.seek(start)
        return self._file.read(stop - start)

    def sha256(self) -> str:
        """Return the SHA-256 of the file's bytes in hexadecimal; a pipe has them only here."""
        self._file.seek(0)
        return sha256_of(self._file)

    def _read_head(self, cursor: _Cursor, key: str) -> None:
        if cursor.peek() == "[":
            self._list = cursor.offset
            return
        if cursor.peek() != "{":
            self.head = cursor.value()
        else:
            self.head = {}
            for name in cursor.names():
                if name == key and cursor.peek() == "[":
                    self._list = cursor.offset
                    for _ in cursor.entries():
                        pass
                else:
                    self.head[name] = cursor.value()
        cursor.expect_end()

    @contextmanager
    def _exact_errors(self) -> Iterator[None]:
        """If the file is not valid, parse it as a whole, which says what is wrong and where."""
        try:
            yield
        except (ValueError, RecursionError):
            with self._file:  # nobody can read on
                self._file.seek(0)
                parse_json(self._file.read(), self._path)
            raise


class _Cursor:
    """A place in a json file, and the text from there to the end of the block.

    All methods raise a ValueError or RecursionError where the json is not valid.
    """

    def __init__(self, file: IO[bytes], encoding: str, offset: int) -> None:
        file.seek(offset)
        self.offset = offset  # of the place, in bytes
        self._file, self._encoding = file, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._text, self._at = "", 0

    def peek(self) -> str:
        """Skip white space, and return the next character; an empty string at the end."""
        while True:
            self._advance(cast(re.Match[str], WHITESPACE.match(self._text, self._at)).end())
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_on():
                return ""

    def skip(self, *expected: str) -> str:
        """Skip the next character, and return it."""
        found = self.peek()
        if found not in expected:
            raise ValueError(f"{found!r} instead of one of {expected}")
        self._advance(self._at + 1)
        return found

    def value(self) -> Any:
        """Return the next value."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if not self._read_on():  # otherwise it may be that the block ends within the value
                    raise
                continue
            # A number may go on in the next block: "1." and "1e-" are read as 1 so far.
            if not isinstance(value, (int, float)) or end + 2 < len(self._text) or not self._read_on():
                self._advance(end)
                return value

    def entries(self) -> Iterator[tuple[int, int, Any]]:
        """Yield start, end and value of each entry of a list."""
        self.skip("[")
        if self.peek() == "]":
            self.skip("]")
            return
        while True:
            self.peek()
            start, value = self.offset, self.value()
            yield start, self.offset, value
            if self.skip(",", "]") == "]":
                return

    def names(self) -> Iterator[str]:
        """Yield each name in an object; the caller takes the value before it asks for the next name."""
        self.skip("{")
        if self.peek() == "}":
            self.skip("}")
            return
        while True:
            if self.peek() != '"':
                raise ValueError("a name is not text")
            name = self.value()
            self.skip(":")
            yield name
            if self.skip(",", "}") == "}":
                return

    def expect_end(self) -> None:
        if self.peek():
            raise ValueError("there is more after the end")

    def _advance(self, end: int) -> None:
        passed = self._text[self._at : end]
        is_plain = self._encoding == "utf-8" and passed.isascii()
        self.offset += len(passed) if is_plain else len(passed.encode(self._encoding))
        self._at = end

    def _read_on(self) -> bool:
        """Add a block to the text, at least as long as the text; return False at the end of the file."""
        data = self._file.read(max(BLOCK, len(self._text) - self._at))
        text = self._decoder.decode(data, final=not data)
        if data:
            self._text, self._at = self._text[self._at :] + text, 0
        return bool(data)


def _last_block(start: int, text: bytes, end: bytes) -> Iterator[Block]:
    """Yield the last block of a list or of a part of it, unless it is empty."""
    text = text.rstrip(b" \t\n\r")
    if not text.endswith(end):
        raise ValueError("the list does not end")
    if text[:-1].strip(b" \t\n\r"):
        yield _make_block(start, text[:-1], [])


def _make_block(start: int, text: bytes, gaps: list[tuple[int, int]]) -> Block:
    starts = [start, *(start + stop - 1 for _, stop in gaps)]
    return Block(start, text, starts, [*(start + first + 1 for first, _ in gaps), start + len(text)])


def _open(path: str | Path) -> IO[bytes]:
    """Open a file; a pipe is copied to a temporary file, because its content is read twice."""
    try:
        file = open(path, "rb")  # noqa: SIM115
    except (OSError, ValueError):
        read_bytes(path)  # raises a better error
        raise
    if file.seekable():
        return file
    with file:
        copy = tempfile.TemporaryFile()  # noqa: SIM115
        shutil.copyfileobj(file, copy)
    copy.seek(0)
    return copy


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(parse_constant=_refuse)
