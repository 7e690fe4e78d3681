"""Compare a published json with the split that is made from the official files.

Images are matched by file name, annotations of an image by box, area and crowd flag; ids and the encoding of a mask may
differ.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from vclr.coco.checks import Json
from vclr.coco.file import open_coco
from vclr.coco.official import last_part
from vclr.file_names import file_key
from vclr.splits.split import MadeSplit

TOLERANCE = 0.01  # pixels of a box's edge, and of an area
MAX_NAMED = 3  # differences of each kind

NUM_COLUMNS = 8  # of a row: image, crowd, category, x, y, width, height, area
TOLERANCES = np.array([0, 0, 0, *[TOLERANCE + 1e-9] * 5])


@dataclass
class Table:
    """The parts of a json that are compared.

    Attributes:
        images: (width, height) of each image, by file name.
        rows: (n, 8) float64, one per annotation; the first column is the position of its image in `images`.
    """

    images: dict[str, tuple[int, int]]
    rows: np.ndarray


def compare_split(made: MadeSplit, published: str | Path) -> list[str]:
    """Describe the differences between a published json and a split, one line per kind; none if they agree."""
    theirs = open_coco(published)
    theirs.check_images()
    lines = _compare_categories(made.categories, theirs.categories)
    same_classes = {category["id"] for category in made.categories} if not lines else set()
    mine = _tabulate(made.images, made.annotations(), same_classes)
    other = _tabulate(theirs.images, theirs.check(), same_classes)
    lines += _forget_folders(mine, other)
    return [*lines, *_compare_images(mine, other), *_compare_annotations(mine, other)]


def _tabulate(images: list[Json], annotations: Iterable[Json], classes: set[int]) -> Table:
    """Return the table of a json; categories that are not in `classes` are not compared."""
    sizes = {file_key(image["file_name"]): (image["width"], image["height"]) for image in images}
    numbers = {name: number for number, name in enumerate(sizes)}
    places: dict[Any, int] = {image["id"]: numbers[file_key(image["file_name"])] for image in images}
    values = array("d")
    for annotation in annotations:
        box, category = annotation["bbox"], annotation["category_id"]
        crowd = bool(annotation.get("iscrowd", 0))
        values.extend((places[annotation["image_id"]], crowd, category if category in classes else -1, *box))
        values.append(annotation.get("area", box[2] * box[3]))
    return Table(sizes, np.array(values, dtype=np.float64).reshape(-1, NUM_COLUMNS))


def _compare_categories(ours: list[Json], theirs: list[Json]) -> list[str]:
    mine, other = ({(category["id"], category["name"]) for category in categories} for categories in (ours, theirs))
    only = [[f"{name} ({number})" for number, name in sorted(found)] for found in (mine - other, other - mine)]
    return _only_in("categories", only[0], "the split") + _only_in("categories", only[1], "the file")


def _forget_folders(mine: Table, other: Table) -> list[str]:
    """Compare file names without their folders if no name agrees with them, and report that."""
    if not mine.images or not other.images or mine.images.keys() & other.images.keys():
        return []
    lasts = [[last_part(name) for name in table.images] for table in (mine, other)]
    if not set(lasts[0]) & set(lasts[1]) or any(len(set(names)) < len(names) for names in lasts):
        return []
    names = [next(iter(table.images)) for table in (mine, other)]
    for table, last in zip((mine, other), lasts, strict=True):
        table.images = dict(zip(last, table.images.values(), strict=True))
    return [f"folders in file names: the split has {names[0]}, the file {names[1]}"]


def _compare_images(mine: Table, other: Table) -> list[str]:
    lines = _only_in("images", [name for name in mine.images if name not in other.images], "the split")
    lines += _only_in("images", [name for name in other.images if name not in mine.images], "the file")
    differ = [name for name, size in mine.images.items() if other.images.get(name, size) != size]
    if differ:
        says = "{} is {}x{}, in the file {}x{}"
        shown = [says.format(name, *mine.images[name], *other.images[name]) for name in differ]
        lines.append(f"sizes of images: {len(differ)} differ: {_few(shown)}")
    return lines


def _compare_annotations(mine: Table, other: Table) -> list[str]:
    """Compare the annotations of the images that are in both."""
    common = [name for name in mine.images if name in other.images]
    ours, theirs = (_by_image(table, common) for table in (mine, other))
    only: tuple[list[str], list[str]] = ([], [])
    for number in _images_to_match(ours, theirs, len(common)):
        rows = [table[slice(*np.searchsorted(table[:, 0], (number, number + 1)))] for table in (ours, theirs)]
        unmatched = _match(*rows)
        for found, of_image, positions in zip(only, rows, unmatched, strict=True):
            found += [_describe(common[number], of_image[position]) for position in positions]
    return _only_in("annotations", only[0], "the split") + _only_in("annotations", only[1], "the file")


def _by_image(table: Table, common: list[str]) -> np.ndarray:
    """Return the rows of the images in `common`, numbered by their position in it and sorted."""
    numbers = {name: number for number, name in enumerate(common)}
    renumber = np.array([numbers.get(name, -1) for name in table.images], dtype=np.float64)
    rows = table.rows.copy()
    rows[:, 0] = renumber[rows[:, 0].astype(np.int64)] if len(rows) else rows[:, 0]
    rows = rows[rows[:, 0] >= 0]
    return rows[np.lexsort(rows.T[::-1])]


def _images_to_match(ours: np.ndarray, theirs: np.ndarray, count: int) -> np.ndarray:
    """Return the images whose sorted annotations do not agree one by one: hardly any, if the files agree."""
    counts = [np.bincount(rows[:, 0].astype(np.int64), minlength=count) for rows in (ours, theirs)]
    is_even = counts[0] == counts[1]
    first, second = (rows[is_even[rows[:, 0].astype(np.int64)]] for rows in (ours, theirs))
    differ = (np.abs(first - second) > TOLERANCES).any(axis=1)
    return np.union1d(np.flatnonzero(~is_even), first[differ, 0].astype(np.int64))


def _match(ours: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair the annotations of an image as far as possible, and return the unpaired ones of each side."""
    if not len(ours) or not len(theirs):
        return np.arange(len(ours)), np.arange(len(theirs))
    is_close = (np.abs(ours[:, None] - theirs[None]) <= TOLERANCES).all(axis=2)
    partners = maximum_bipartite_matching(csr_matrix(is_close), perm_type="column")
    return np.flatnonzero(partners < 0), np.setdiff1d(np.arange(len(theirs)), partners)


def _describe(name: str, row: np.ndarray) -> str:
    crowd = "crowd " if row[1] else ""
    return f"{name} {crowd}[{', '.join(f'{value:g}' for value in row[3:7].round(2))}], area {row[7]:g}"


def _only_in(kind: str, entries: list[str], where: str) -> list[str]:
    return [f"{kind} only in {where}: {len(entries)}: {_few(entries)}"] if entries else []


def _few(entries: list[str]) -> str:
    return "; ".join(entries[:MAX_NAMED]) + ("; ..." if len(entries) > MAX_NAMED else "")
