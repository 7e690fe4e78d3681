"""PNG of any depth, and with any chunk at any place, byte by byte."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def split_png(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the bytes of each chunk of a PNG."""
    place = 8
    while place < len(content):
        length = struct.unpack_from(">I", content, place)[0] + 12
        yield content[place + 4 : place + 8], content[place : place + length]
        place += length


def insert_chunk(path: Path, new: bytes, behind: bool) -> None:
    """Put a chunk into a PNG, in front of its pixels or behind them."""
    chunks = list(split_png(path.read_bytes()))
    before = b"IEND" if behind else b"IDAT"
    place = next(number for number, (kind, _) in enumerate(chunks) if kind == before)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + b"".join([*(c for _, c in chunks[:place]), new, *(c for _, c in chunks[place:])])
    )


def write_gray_png(path: Path, values: np.ndarray, bits: int, palette: bool = False) -> None:
    """Write (h, w) values as a PNG of 1, 2, 4, 8 or 16 bits."""
    shifts = np.arange(bits)[::-1]
    rows = np.packbits((values[..., None] >> shifts & 1).reshape(len(values), -1).astype(np.uint8), axis=1)
    pixels = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 3 if palette else 0, 0, 0, 0)
    colors = np.random.default_rng(0).integers(0, 256, 3 * 2**bits, np.uint8).tobytes() if palette else b""
    content = [chunk(b"IHDR", header), *([chunk(b"PLTE", colors)] if palette else [])]
    content += [chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(content))
