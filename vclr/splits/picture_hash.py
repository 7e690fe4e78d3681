"""Hashes of what a photo shows, nearly equal for copies that were compressed, resized, brightened or mirrored.

A difference hash: the photo in gray, shrunk to a few pixels, and one bit per pixel that tells whether its right
neighbor is brighter. The coarse hash of 8 x 8 such bits finds candidates, whose fine hash of 16 x 16 bits then has to
agree too: of the 590 million pairs of COCO's training set and its validation set, thousands would agree by chance in
the coarse one alone (skies, walls, snow).

The thresholds are from 100 photos of COCO. No two of them differ in fewer than 13 coarse bits, and of eight million
pairs of patches from different ones, none passes both thresholds. JPEG of quality 50 and half the size change 3 coarse
and 14 fine bits at most, a crop of 1 % on each side 7 and 24. A crop of 2 %, or a photo brighter by 10 %, whose
highlights are cut off, is found 94 and 98 times of 100.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

COARSE, FINE = 8, 16  # bits per side
MAX_COARSE, MAX_FINE = 8, 40  # bits that may differ between copies
# A JPEG is decoded at the smallest multiple of one eighth that is not below this; a finer one changes no relevant bit.
DECODED_SIZE = (144, 128)
# Gray levels by which the shrunk photo must vary: a blank one is a copy of every other.
MIN_CONTRAST = 2.0
MAX_BLOCK = 1 << 24  # pairs that are compared at once


def hash_picture(image: Image.Image) -> np.ndarray | None:
    """Return (2, 40) uint8: the coarse and the fine hash of a photo, and of its mirror image; None for a blank one."""
    gray = image.convert("L")
    rows: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for side in (COARSE, FINE):
        small = np.asarray(gray.resize((side + 1, side), Image.Resampling.LANCZOS)).astype(np.int16)
        if small.std() < MIN_CONTRAST:
            return None
        for row, pixels in zip(rows, (small, small[:, ::-1]), strict=True):
            row.append(np.packbits(pixels[:, 1:] > pixels[:, :-1]))
    return np.stack([np.concatenate(row) for row in rows])


def coarse_distance(first: np.ndarray, second: np.ndarray) -> int:
    """Return in how many of 64 bits the coarse hashes of two photos differ."""
    return int(_count_bits((first ^ second)[None, : COARSE**2 // 8])[0])


def find_copies(hashes: np.ndarray, others: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Find the pairs of photos that are copies of each other.

    Args:
        hashes: (n, 40) of some photos.
        others: (m, 40) of others, or of their mirror images.

    Yields:
        Position in `hashes`, position in `others`, coarse distance.
    """
    # The product of vectors of +1 and -1 counts the bits that differ, and products are fastest.
    signs = _signs(hashes)
    least = COARSE**2 - 2 * MAX_COARSE
    block = max(1, MAX_BLOCK // max(1, len(hashes)))
    for start in range(0, len(others), block):
        products = signs @ _signs(others[start : start + block]).T
        first, second = np.nonzero(products >= least)
        second += start
        differ = hashes[first] ^ others[second]
        is_copy = _count_bits(differ[:, COARSE**2 // 8 :]) <= MAX_FINE
        distances = _count_bits(differ[is_copy, : COARSE**2 // 8])
        yield from zip(first[is_copy].tolist(), second[is_copy].tolist(), distances.tolist(), strict=True)


def _signs(hashes: np.ndarray) -> np.ndarray:
    """Return the bits of coarse hashes as (n, 64) float32, +1 and -1."""
    return np.unpackbits(hashes[:, : COARSE**2 // 8], axis=1).astype(np.float32) * 2 - 1


def _count_bits(hashes: np.ndarray) -> np.ndarray:
    return np.unpackbits(hashes, axis=1).sum(axis=1, dtype=np.int64)  # type: ignore[no-any-return]
