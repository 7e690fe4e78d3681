"""Decode the run lengths of Label Studio's brush strokes; `vclr.pre_annotations.labelstudio` writes them.

The format is that of the package rle-pack by thi.ng: the number of values (32 bits), the bits per value and the four
possible bits per run (5, then 4 bits each, minus 1); then each run: a bit that says whether all its values are equal,
two bits that say which of the four, its length minus 1, and the value, or all values.
"""

from __future__ import annotations

from typing import Any

import numpy as np

CHANNELS = 4  # red, green, blue and alpha; a pixel is painted if its alpha is not 0


def decode_brush(data: Any, height: int, width: int) -> np.ndarray:
    """Return an (h, w) uint8 mask.

    Raises:
        ValueError: the data are not such run lengths, or are of another size.
    """
    if not isinstance(data, list) or not all(isinstance(byte, int) and 0 <= byte <= 255 for byte in data):
        raise ValueError("its run lengths are not a list of bytes")
    bits = _Bits(data)
    count, word = bits.read(32), bits.read(5) + 1
    sizes = [bits.read(4) + 1 for _ in range(4)]
    if count != CHANNELS * height * width or word > 8:
        raise ValueError(f"its run lengths are not those of a picture of {width}x{height} px")
    values = np.zeros(count, np.uint8)
    at = 0
    while at < count:
        is_run = bits.read(1)
        end = at + 1 + bits.read(sizes[bits.read(2)])
        if end > count:
            raise ValueError("its run lengths are too long for the picture")
        if is_run:
            values[at:end] = bits.read(word)
        else:
            values[at:end] = [bits.read(word) for _ in range(end - at)]
        at = end
    return (values.reshape(height, width, CHANNELS)[..., 3] > 0).astype(np.uint8)


class _Bits:
    """The bits of a list of bytes, read from the highest bit of the first one on."""

    def __init__(self, data: list[int]) -> None:
        self.text = "".join(map("{:08b}".format, data))
        self.at = 0

    def read(self, size: int) -> int:
        """Return the number that the next bits are."""
        part = self.text[self.at : self.at + size]
        if len(part) < size:
            raise ValueError("its run lengths end too early")
        self.at += size
        return int(part, 2)
