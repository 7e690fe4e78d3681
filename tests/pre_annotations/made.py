"""Two photos with objects that formats find hard: a ring, two parts, a single pixel, one at the border, none at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vclr.pictures import write_png
from vclr.pre_annotations.photo import FoundPhoto, take_objects
from vclr.structures import Predictions

SIZE = (90, 120)
SCORES = (0.875, 0.75, 0.625, 0.5, 0.375)


def disk(y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.indices(SIZE)
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def masks() -> np.ndarray:
    pixel = np.zeros(SIZE, bool)
    pixel[70, 100] = True
    ring = disk(30, 30, 20) & ~disk(30, 30, 12)
    parts = disk(60, 30, 8) | disk(60, 60, 8)
    return np.stack([disk(30, 90, 18.5), ring, parts, pixel, disk(90, 120, 25)])


def found_photos(folder: Path) -> list[FoundPhoto]:
    """Write `a b.png` and `empty.png` into the folder, and return what was found in them."""
    photos = []
    for name, found in (("a b.png", masks()), ("empty.png", np.zeros((0, *SIZE), bool))):
        write_png(folder / name, np.full((*SIZE, 3), 127, np.uint8))
        predictions = Predictions(np.zeros((len(found), 4), np.float32), np.array(SCORES[: len(found)]), found)
        photos.append(take_objects(folder / name, name, predictions, range(len(found)), predictions.masks.shape[1:]))
    return photos


def iou(first: np.ndarray, second: np.ndarray) -> float:
    first, second = np.asarray(first) > 0, np.asarray(second) > 0
    return float((first & second).sum() / (first | second).sum())
