"""Compare a published json with the split that is made from the official files.

Images are matched by file name, annotations of an image by box, area and crowd flag; ids and the encoding of a mask may
differ.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from vclr.coco.checks import Json
from vclr.coco.official import last_part, open_official
from vclr.file_names import file_key
from vclr.files import identify
from vclr.splits.split import MadeSplit

TOLERANCE = 0.01  # pixels of a box's edge, and of an area
MAX_NAMED = 3  # differences of each kind

NUM_COLUMNS = 8  # of a row: image, category, crowd, x, y, width, height, area
SHAPE = slice(2, None)  # what identifies an object in its image

Found = tuple[int, np.ndarray]  # an annotation: position of its image among those compared, and row

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


@dataclass(frozen=True)
class Numbers:
    """How many entries of a kind the split and the file have, and how many only one of them has."""

    split: int
    file: int
    only_split: int
    only_file: int


@dataclass(frozen=True)
class Comparison:
    """What a split and a published json have in common.

    Attributes:
        images: numbers of images.
        annotations: numbers of annotations; those that only one has are counted in the images that both have.
        classes_only_split: official classes of the annotations that only the split has, with their numbers.
        classes_only_file: the same of those that only the file has; "" counts those that are not official.
        differences: one line per kind of difference; none if the two agree.
    """

    images: Numbers
    annotations: Numbers
    classes_only_split: dict[str, int]
    classes_only_file: dict[str, int]
    differences: list[str]

    def as_json(self, made: MadeSplit, published: str | Path) -> Json:
        """Return the comparison with what was compared, as `vclr split --comparison` writes it."""
        files = {"official": identify(made.source.path), "published": identify(Path(published))}
        return {"split": made.name, **files, "same": not self.differences, **asdict(self)}


def compare_split(made: MadeSplit, published: str | Path) -> Comparison:
    """Compare a published json with a split."""
    theirs = open_official(published, made.split.without_folders)
    theirs.check_images()
    lines = _compare_categories(made.categories, theirs.categories)
    same_classes = {category["id"] for category in made.categories} if not lines else set()
    mine = _tabulate(made.images, made.annotations(), same_classes)
    other = _tabulate(theirs.images, theirs.check(), same_classes)
    ids = [image["id"] for image in made.images]
    lines += _forget_folders(mine, other)
    lines += _compare_images(mine, other)
    common = [name for name in mine.images if name in other.images]
    only = _compare_annotations(mine, other, common)
    for found, where in zip(only, ("the split", "the file"), strict=True):
        lines += _only_in("annotations", [_describe(common[number], row) for number, row in found], where)
    numbers = dict(zip(mine.images, ids, strict=True))
    classes = [_official_classes(made, [(numbers[common[number]], row) for number, row in found]) for found in only]
    tables = mine, other
    return Comparison(
        Numbers(*(len(table.images) for table in tables), *(len(table.images) - len(common) for table in tables)),
        Numbers(*(len(table.rows) for table in tables), *map(len, only)),
        classes[0],
        classes[1],
        lines,
    )


def _official_classes(made: MadeSplit, found: Sequence[tuple[Any, np.ndarray]]) -> dict[str, int]:
    """Count annotations, given as image id and row, by the class of the official annotation that each is."""
    names = {category["id"]: category["name"] for category in made.source.categories}
    official: dict[Any, list[tuple[str, np.ndarray]]] = {image: [] for image, _ in found}
    for annotation in made.source.read_annotations() if found else ():
        if annotation["image_id"] in official:
            official[annotation["image_id"]].append((names[annotation["category_id"]], np.array(_shape(annotation))))
    counts: Counter[str] = Counter()
    for image, row in found:
        near = (name for name, shape in official[image] if (np.abs(shape - row[SHAPE]) <= TOLERANCES[SHAPE]).all())
        counts[next(near, "")] += 1
    return dict(counts.most_common())


def _tabulate(images: list[Json], annotations: Iterable[Json], classes: set[int]) -> Table:
    """Return the table of a json; categories that are not in `classes` are not compared."""
    sizes = {file_key(image["file_name"]): (image["width"], image["height"]) for image in images}
    numbers = {name: number for number, name in enumerate(sizes)}
    places: dict[Any, int] = {image["id"]: numbers[file_key(image["file_name"])] for image in images}
    values = array("d")
    for annotation in annotations:
        category = annotation["category_id"]
        values.extend((places[annotation["image_id"]], category if category in classes else -1, *_shape(annotation)))
    return Table(sizes, np.array(values, dtype=np.float64).reshape(-1, NUM_COLUMNS))


def _shape(annotation: Json) -> tuple[float, ...]:
    """Return what identifies an object in its image: crowd, x, y, width, height, area."""
    box = annotation["bbox"]
    return (bool(annotation.get("iscrowd", 0)), *box, annotation.get("area", box[2] * box[3]))


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


def _compare_annotations(mine: Table, other: Table, common: list[str]) -> tuple[list[Found], list[Found]]:
    """Return the annotations that only one of the two has, in the images that both have."""
    ours, theirs = (_by_image(table, common) for table in (mine, other))
    only: tuple[list[Found], list[Found]] = ([], [])
    for number in _images_to_match(ours, theirs, len(common)):
        rows = [table[slice(*np.searchsorted(table[:, 0], (number, number + 1)))] for table in (ours, theirs)]
        for found, of_image, positions in zip(only, rows, _match(*rows), strict=True):
            found += [(int(number), of_image[position]) for position in positions]
    return only


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
    crowd = "crowd " if row[2] else ""
    return f"{name} {crowd}[{', '.join(f'{value:g}' for value in row[3:7].round(2))}], area {row[7]:g}"


def _only_in(kind: str, entries: list[str], where: str) -> list[str]:
    return [f"{kind} only in {where}: {len(entries)}: {_few(entries)}"] if entries else []


def _few(entries: list[str]) -> str:
    return "; ".join(entries[:MAX_NAMED]) + ("; ..." if len(entries) > MAX_NAMED else "")
