"""Refuse image files that are made to take hours or gigabytes, before Pillow parses or decodes them.

Pillow bounds the number of pixels. What a file holds besides them, and how often it draws them, is bounded here, far
above what cameras and editors write.
"""

from __future__ import annotations

import io
import mmap
import os
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from vclr.errors import UserError

MAX_SCANS = 100  # of a JPEG: each costs a pass over all pixels. libjpeg writes 10 in color; libtiff has the same limit.
MAX_PARTS = 1000  # segments of a JPEG in front of its pixels; chunks of a PNG that are not pixels
MAX_METADATA = 1 << 26  # bytes in these parts
MAX_HELD = 1 << 28  # bytes of a file that Pillow holds in memory besides the pixels
MAX_NUMBERS = 1 << 18  # numbers in the tags of a TIFF, such as the places of its strips: each becomes an object
MAX_TAGS = 1 << 12

# Markers of a JPEG: https://www.w3.org/Graphics/JPEG/itu-t81.pdf, table B.1.
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
WITH_LENGTH = {*range(0xC0, 0xD0), *range(0xDA, 0xF0), 0xFE} - {0xC8}
MARKER = re.compile(rb"\xff[^\0\xff\xd0-\xd7]")  # the others are escaped pixels, padding and restarts

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_PIXELS = (b"IDAT", b"fdAT", b"fcTL")

# Types of a TIFF's values that Pillow keeps as bytes; the bytes of a value of the other types; and the tags that lead
# to further ones, which Pillow reads with the pixels.
BYTE_TYPES, SIZES = (1, 2, 6, 7), {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
MORE_TAGS = (34665, 34853, 40965)


class Chunk(NamedTuple):
    """A chunk of a PNG: its kind, where its data begin in the file, and their number of bytes."""

    kind: bytes
    start: int
    length: int


def refuse_excess(path: str | Path, file: IO[bytes]) -> None:
    """Raise if parsing an image file would take much longer, or much more memory, than its pixels explain.

    Args:
        path: names the file in errors.
        file: the file, which is rewound.

    Raises:
        UserError: the file has too many parts, or too large ones.
    """
    start = file.read(8)
    if start.startswith(b"\xff\xd8\xff"):
        _bound(path, (length for length in _segments(file)))
    elif start == PNG_SIGNATURE:
        _bound(path, (chunk.length for chunk in png_chunks(file) if chunk.kind not in PNG_PIXELS))
    elif start[:2] in (b"II", b"MM"):
        _refuse_many_tags(path, file)
    elif start[:2] != b"BM" and not re.match(rb"P\d", start) and file.seek(0, os.SEEK_END) > MAX_HELD:
        raise UserError(f"{path}: {_more_than(MAX_HELD)} in a format that is read as a whole; convert it to PNG")
    file.seek(0)


def refuse_many_scans(path: str | Path, file: IO[bytes]) -> None:
    """Raise if a JPEG draws its pixels more than `MAX_SCANS` times; each time costs a pass over all of them.

    Args:
        path: names the file in errors.
        file: the file, which is rewound.

    Raises:
        UserError: it has more scans.
    """
    if _count_pairs(file, bytes([0xFF, START_OF_SCAN])) > MAX_SCANS and _count_scans(file) > MAX_SCANS:
        raise UserError(f"{path}: has more than {MAX_SCANS} scans, which would take too long; save it as a usual JPEG")
    file.seek(0)


def refuse_large_notes(path: str | Path, notes: Mapping[Any, Any]) -> None:
    """Raise if a piece of the metadata that Pillow found is very large: unpacked, EXIF data are 18 times as large.

    Raises:
        UserError: a piece has more than `MAX_METADATA` bytes.
    """
    if any(len(value) > MAX_METADATA for value in notes.values() if isinstance(value, bytes | str)):
        raise UserError(f"{path}: {_more_than(MAX_METADATA)} of metadata; save it without them")


def png_chunks(file: IO[bytes]) -> Iterator[Chunk]:
    """Yield the chunks of a PNG up to its end, wherever the file was left in between."""
    position = len(PNG_SIGNATURE)
    while True:
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return
        yield Chunk(kind, position + 8, length)
        position += length + 12


def _bound(path: str | Path, lengths: Iterator[int]) -> None:
    count = total = 0
    for length in lengths:
        count, total = count + 1, total + length
        if total > MAX_METADATA:
            raise UserError(f"{path}: {_more_than(MAX_METADATA)} of metadata; save it without them")
        if count > MAX_PARTS:
            raise UserError(f"{path}: has more than {MAX_PARTS} pieces of metadata; save it without them")


def _more_than(size: int) -> str:
    return f"has more than {size >> 20} MiB"


def _segments(file: IO[bytes]) -> Iterator[int]:
    """Yield the number of bytes of each segment in front of a JPEG's pixels, as Pillow's parser finds them."""
    file.seek(2)
    while byte := file.read(1):
        if byte != b"\xff":
            continue
        while (byte := file.read(1)) == b"\xff":
            pass
        marker = byte[0] if byte else END_OF_IMAGE
        if marker == START_OF_SCAN:
            return
        if marker in WITH_LENGTH:
            length = int.from_bytes(file.read(2), "big")
            yield length
            file.seek(max(0, length - 2), os.SEEK_CUR)


def _count_pairs(file: IO[bytes], pair: bytes) -> int:
    """Count two bytes in a file: fast, and never fewer than the markers of that value."""
    file.seek(0)
    count, last = 0, b""
    while block := file.read(1 << 20):
        count += (last + block).count(pair)
        last = block[-1:]
    return count


def _count_scans(file: IO[bytes]) -> int:
    """Count the scans of a JPEG as libjpeg does: not those of previews in its metadata, nor of what follows its end."""
    whole = file.getbuffer() if isinstance(file, io.BytesIO) else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with whole as content:
        count, position = 0, 2
        while count <= MAX_SCANS and (found := MARKER.search(content, position)):
            marker, position = content[found.end() - 1], found.end()
            if marker == END_OF_IMAGE:
                break
            count += marker == START_OF_SCAN
            if marker > END_OF_IMAGE or 0xC0 <= marker < 0xD0:
                position += int.from_bytes(content[position : position + 2], "big")
            del found  # it holds the buffer
        return count


def _refuse_many_tags(path: str | Path, file: IO[bytes]) -> None:
    """Raise if the tags of a TIFF's first page hold more than Pillow can keep."""
    size = file.seek(0, os.SEEK_END)
    count = num_numbers = num_bytes = 0
    for kind, number in _tags(file):
        count += 1
        if number * SIZES.get(kind, 1) > size:
            continue  # damaged; Pillow skips it
        num_numbers += number if kind in SIZES else 0
        num_bytes += number if kind in BYTE_TYPES else 0
        if num_numbers > MAX_NUMBERS or count > MAX_TAGS:
            raise UserError(f"{path}: has more than {MAX_NUMBERS} numbers, or {MAX_TAGS} tags, besides its pixels")
        if num_bytes > MAX_HELD:
            raise UserError(f"{path}: {_more_than(MAX_HELD)} of layers or metadata; save it without them")


def _tags(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    """Yield the type and the number of values of each tag that Pillow reads from a TIFF."""
    file.seek(0)
    start = file.read(16)
    order, is_big = "<" if start[:2] == b"II" else ">", start[2:3] == b"+"
    count_of, place_of = (f"{order}Q", f"{order}Q") if is_big else (f"{order}H", f"{order}L")
    entry_of = f"{order}HHQQ" if is_big else f"{order}HHLL"
    places, seen = [_number(place_of, start[8 if is_big else 4 :])], set()
    while places:
        place = places.pop()
        if place in seen or place >= 1 << 63:
            continue
        seen.add(place)
        file.seek(place)
        for _ in range(_number(count_of, file.read(struct.calcsize(count_of)))):
            entry = file.read(struct.calcsize(entry_of))
            if len(entry) < struct.calcsize(entry_of):
                break
            tag, kind, number, value = struct.unpack(entry_of, entry)
            yield kind, number
            if tag in MORE_TAGS:
                places.append(value)


def _number(kind: str, data: bytes) -> int:
    """Return the number that some bytes begin with; 0 if they are too few."""
    return int(struct.unpack_from(kind, data)[0]) if len(data) >= struct.calcsize(kind) else 0
