"""Decode compressed RLE, the run lengths in which COCO stores masks."""

from __future__ import annotations

import numpy as np


def decode_counts(counts: list[bytes]) -> list[np.ndarray]:
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


def count_pixels(counts: list[str]) -> np.ndarray:
    """Return how many pixels each of many compressed RLE counts covers, (n,) int64; -1 for damaged ones.

    It decodes as `decode_counts` does, but thousands of masks at once.
    """
    sizes = np.fromiter(map(len, counts), np.int64, len(counts))
    totals = np.full(len(counts), -1)
    try:
        codes = np.frombuffer("".join(counts).encode("ascii"), np.uint8) - np.uint8(48)
    except UnicodeEncodeError:
        return totals
    if not len(counts) or sizes.min() == 0 or codes.max() > 63 or (codes[sizes.cumsum() - 1] & 32).any():
        return totals
    is_end = codes & 32 == 0
    ends = np.flatnonzero(is_end)
    widths = np.diff(ends, prepend=-1)
    if widths.max() > 7:
        return totals
    numbers = _join_codes(codes, ends, widths)
    num_runs = np.add.reduceat(is_end, np.append(0, sizes.cumsum()[:-1]), dtype=np.int64)
    runs = _add_up(numbers, num_runs)
    first_row = np.append(0, ((num_runs + 1) // 2).cumsum()[:-1])
    zeros, ones = runs.T  # numpy is slow along an axis of two
    is_whole = np.minimum.reduceat(np.minimum(zeros, ones), first_row) >= 0
    return np.where(is_whole, np.add.reduceat(zeros + ones, first_row), -1)


def _join_codes(codes: np.ndarray, ends: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Return the numbers whose last codes are at `ends`; nearly all have one code or two."""
    numbers = (codes[ends] & 31).astype(np.int64)
    numbers -= (numbers & 16) << 1  # the sign
    longer = np.flatnonzero(widths > 1)
    for back in range(1, int(widths.max())):
        longer = longer[widths[longer] > back]
        numbers[longer] = (numbers[longer] << 5) + (codes[ends[longer] - back] & 31)
    return numbers


def _add_up(numbers: np.ndarray, num_runs: np.ndarray) -> np.ndarray:
    """Return the run lengths of zeros and ones, (r, 2), from the numbers of many RLEs; each starts in a new row."""
    rows = (num_runs + 1) // 2
    start, first_row = num_runs.cumsum() - num_runs, rows.cumsum() - rows
    padded = np.zeros(2 * int(rows.sum()), np.int64)
    padded[np.arange(len(numbers)) + np.repeat(2 * first_row - start, num_runs)] = numbers
    padded[2 * first_row] = 0  # the differences do not start from the first number
    runs = padded.reshape(-1, 2).cumsum(axis=0)
    before = np.concatenate([np.zeros((1, 2), np.int64), runs])[first_row]
    runs -= np.repeat(before, rows, axis=0)
    runs[first_row, 0] = numbers[start]
    runs[(first_row + rows - 1)[num_runs % 2 == 1], 1] = 0
    return runs
