"""Decode compressed RLE, the run lengths in which COCO stores masks."""

from __future__ import annotations

import numpy as np


def run_lengths(counts: list[bytes]) -> list[np.ndarray]:
    """Return the run lengths of compressed RLE counts, (k,) int64 each, zeros first.

    A count is a little-endian number with 5 bits per character; the sixth bit says that more characters follow. From
    the fourth count on, it is the difference to the count before the previous one.

    Raises:
        ValueError: the counts are damaged.
    """
    codes = np.frombuffer(b"".join(counts), np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError("not RLE counts")
    ends = np.flatnonzero(codes & 32 == 0)
    starts = np.append(0, ends[:-1] + 1)
    widths = ends - starts + 1
    if widths.max() > 7:
        raise ValueError("not RLE counts")
    places = np.arange(len(codes)) - np.repeat(starts, widths)
    numbers = np.add.reduceat((codes & 31) << (5 * places), starts)
    numbers -= np.where(codes[ends] & 16, 1 << (5 * widths), 0)
    lengths = np.split(numbers, np.searchsorted(ends, np.cumsum([len(text) for text in counts[:-1]])))
    for part in lengths:
        part[1::2] = part[1::2].cumsum()
        part[2::2] = part[2::2].cumsum()
    return lengths
