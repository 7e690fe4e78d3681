"""Check the entries of a COCO json; an error is one line about the first problem of an entry."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from vclr.coco.rle import decode_counts
from vclr.coco.units import Units
from vclr.coco.unusable import (
    Dropped,
    Verdict,
    find_unusable,
    find_unusable_polygons,
    remove_unusable_polygons,
    say_repair,
)
from vclr.errors import UserError
from vclr.file_names import CONTROL, leaves_folder
from vclr.wording import short, short_id

Json = dict[str, Any]

# pycocotools crashes on polygons with much larger coordinates, and counts pixels in 32 bits.
MAX_COORDINATE = 1e6
MAX_PIXELS = 2**31 - 1


class EntryError(UserError):
    """Report an unusable entry; `topic` names the problem in two or three words."""

    def __init__(self, message: str, topic: str = "entry") -> None:
        super().__init__(message)
        self.topic = topic


class CocoChecks:
    """Check the entries of one file: first its images, then its annotations, one by one.

    Attributes:
        sizes: (height, width) of each valid image, by its id.
        units: the evidence for `check_units`.
        dropped: the unusable entries.
        fix: how to get a file without them, at the end of the warning; empty if no command repairs it.
    """

    def __init__(self, path: str | Path, categories: Any, can_be_repaired: bool = True) -> None:
        """Check the categories.

        Raises:
            UserError: they are not a list of ids and names, or two categories share an id.
        """
        self.path = path
        self.sizes: dict[Any, tuple[int, int]] = {}
        self.units = Units()
        self.dropped = Dropped()
        self.fix = f"; {say_repair(path)}" if can_be_repaired else ""
        self._annotations: set[Any] = set()
        self._categories: dict[int, tuple[int, str]] = {}  # id -> position, name
        if not isinstance(categories, list):
            raise UserError(f"{path}: `categories` is not a list")
        for position, category in enumerate(categories):
            self.check_category(position, category)

    def check_category(self, position: int, category: Any) -> None:
        """Check an entry of `categories`; an identical duplicate is accepted.

        Raises:
            EntryError: it has no id or name, or its id belongs to another category.
        """
        entry = f"{self.path}: categories[{position}]"
        _require(category, entry, id=int, name=str)
        first, name = self._categories.setdefault(category["id"], (position, category["name"]))
        if name != category["name"]:
            says = f"id {short(category['id'])} is {category['name']!r} here, but {name!r} in categories[{first}]"
            raise EntryError(f"{entry}: {says}; give each category its own id", "id of two categories")

    def check_image(self, position: int, image: Any) -> str:
        """Check an entry of `images`, and return its name for errors.

        Raises:
            EntryError: one line that names the file, the entry and the problem.
        """
        entry = f"{self.path}: images[{position}]"
        _require(image, entry, id=(int, str), file_name=str, height=int, width=int)
        _check_file_name(image["file_name"], entry)
        size = f"size {short(image['width'])}x{short(image['height'])}"
        if image["height"] < 1 or image["width"] < 1:
            raise EntryError(f"{entry}: {size} is empty", "size of an image")
        if image["height"] * image["width"] > MAX_PIXELS:
            raise EntryError(f"{entry}: {size} is too large", "size of an image")
        if image["id"] in self.sizes:
            raise EntryError(f"{entry}: id {short_id(image['id'])} occurs twice", "id that occurs twice")
        self.sizes[image["id"]] = image["height"], image["width"]
        return entry

    def check_annotation(self, position: int, annotation: Any) -> Verdict:
        """Check an entry of `annotations`, and count what is unusable in it.

        If it is kept, its unusable polygons are removed, and an empty segmentation `[]` becomes None.

        Raises:
            EntryError: one line that names the file, the entry and the problem.
        """
        verdict = self.check_alone(position, annotation)
        if annotation["id"] in self._annotations:
            raise EntryError(f"{self.path}: {verdict.place}: the id occurs twice", "id that occurs twice")
        self._annotations.add(annotation["id"])
        self.dropped.add(verdict)
        return verdict

    def check_alone(self, position: int, annotation: Any) -> Verdict:
        """Do the same, except that the id may occur twice and nothing is counted."""
        entry = f"{self.path}: annotations[{position}]"
        _require(annotation, entry, id=(int, str), image_id=(int, str), category_id=int, bbox=list)
        place = f"annotations[{position}] (id {short_id(annotation['id'])})"
        entry = f"{self.path}: {place}"
        if annotation["image_id"] not in self.sizes:
            says = f"{short(annotation['image_id'])} is not in `images`{say_twin(annotation['image_id'], self.sizes)}"
            raise EntryError(f"{entry}: image {says}", "annotation without image")
        if annotation["category_id"] not in self._categories:
            says = f"category {short(annotation['category_id'])} is not in `categories`"
            raise EntryError(f"{entry}: {says}", "annotation without category")
        check_numbers_of_box(annotation["bbox"], entry)
        if annotation.get("segmentation") == []:
            annotation["segmentation"] = None  # data sets of boxes write it like this
        if annotation.get("segmentation") is not None:
            _check_form(annotation["segmentation"], *self.sizes[annotation["image_id"]], entry)
        _check_evaluated(annotation, entry)
        problems, is_kept = find_unusable(annotation["bbox"], annotation.get("segmentation"))
        if is_kept:
            if problems:
                remove_unusable_polygons(annotation)
            if self.units.are_open:
                self.units.add(annotation, self.sizes[annotation["image_id"]])
        return Verdict(place, problems, is_kept)

    def finish(self, num_annotations: int) -> None:
        """After the last annotation, check the units, and warn about what was dropped of so many annotations."""
        self.check_units()
        self.dropped.warn(self.path, num_annotations, self.fix)

    def check_units(self) -> None:
        """After the last annotation, check that the coordinates are in pixels.

        Raises:
            EntryError: they all lie between 0 and 1, as fractions of the image size.
        """
        if says := self.units.say_shares():
            raise EntryError(f"{self.path}: {says}", "units")


def is_finite_number(value: Any) -> bool:
    """Tell whether a value is a number that a float can hold, which an integer of 400 digits is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_proposal(annotation: Json) -> bool:
    """Tell whether an annotation is an object proposal: these have a score."""
    return is_finite_number(annotation.get("score"))


def say_twin(value: int | str, known: Collection[Any]) -> str:
    """Say that an unknown id is known as the other type, text or number; return an empty string if it is not."""
    if isinstance(value, str):
        twin = int(value) if value.isascii() and value.isdecimal() and len(value) < 20 else None
        return f" (it has the number {twin})" if twin in known else ""
    return f" (it has the text '{value}')" if str(value) in known else ""


_TYPES = {int: "a whole number", str: "text", (int, str): "a whole number or text", list: "a list"}


def _require(item: Any, entry: str, **types: type | tuple[type, ...]) -> None:
    if not isinstance(item, dict):
        raise EntryError(f"{entry}: is not an object", "form of an entry")
    for key, kind in types.items():
        if key not in item:
            raise EntryError(f"{entry}: has no `{key}`", "form of an entry")
        if not isinstance(item[key], kind) or isinstance(item[key], bool):
            says = f"`{key}` is {short(item[key])}, but must be {_TYPES[kind]}"
            raise EntryError(f"{entry}: {says}", "form of an entry")


def _check_file_name(name: str, entry: str) -> None:
    if name in ("", "."):
        raise EntryError(f"{entry}: file_name {name!r} is not the name of a file", "file name")
    if leaves_folder(name):
        raise EntryError(f"{entry}: file_name {name!r} leaves the image folder", "file name")
    if not name.isprintable() and CONTROL.search(name):
        raise EntryError(f"{entry}: file_name {name!r} contains a control character", "file name")


def _check_evaluated(annotation: Json, entry: str) -> None:
    """Check the optional keys that only evaluation reads."""
    area, crowd = annotation.get("area", 0), annotation.get("iscrowd", 0)
    if not isinstance(area, (int, float)) or not -MAX_PIXELS <= area <= MAX_PIXELS:
        raise EntryError(f"{entry}: area {short(area)} is not a number of pixels", "area")
    if crowd not in (0, 1):
        raise EntryError(f"{entry}: iscrowd {short(crowd)} is neither 0 nor 1", "iscrowd")


def check_box(box: list[Any], entry: str) -> None:
    """Check the box of a prediction, whose sides must not be negative."""
    check_numbers_of_box(box, entry)
    if box[2] < 0 or box[3] < 0:
        raise _not_a_box(box, entry)


def check_numbers_of_box(box: list[Any], entry: str) -> None:
    """Check that a box is four finite numbers, whatever its sides."""
    if len(box) != 4 or not _are_numbers(box) or not _are_coordinates(box):
        raise _not_a_box(box, entry)


def _not_a_box(box: list[Any], entry: str) -> EntryError:
    return EntryError(f"{entry}: bbox {short(box)} is not [x, y, width, height]", "box")


def _are_numbers(values: list[Any]) -> bool:
    return {float, int}.issuperset(map(type, values))


def _are_coordinates(numbers: list[float]) -> bool:
    """Tell whether all numbers are finite and of a usable size. A Python loop would take most of the reading time."""
    return min(numbers) >= -MAX_COORDINATE and max(numbers) <= MAX_COORDINATE and not math.isnan(sum(numbers))


def check_segmentation(segmentation: Any, height: int, width: int, entry: str) -> None:
    """Check polygons, all of which must be usable, or RLE."""
    _check_form(segmentation, height, width, entry)
    for problem in find_unusable_polygons(segmentation if isinstance(segmentation, list) else []):
        raise EntryError(f"{entry}: {problem.says}", "polygon")


def _check_form(segmentation: Any, height: int, width: int, entry: str) -> None:
    """Check that a segmentation can be read; a polygon may have too few numbers, or an odd number of them."""
    if isinstance(segmentation, dict):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        if size != [height, width]:
            raise EntryError(f"{entry}: RLE size {short(size)} differs from the image's [{height}, {width}]", "RLE")
        if isinstance(counts, list):
            if any(not isinstance(count, int) or count < 0 for count in counts) or sum(counts) != height * width:
                raise EntryError(f"{entry}: RLE counts do not add up to {height}x{width} pixels", "RLE")
        elif not isinstance(counts, str):
            raise EntryError(f"{entry}: RLE counts are neither a list nor text", "RLE")
        elif _count_pixels(counts) != height * width:
            raise EntryError(f"{entry}: RLE counts are damaged or do not add up to {height}x{width} pixels", "RLE")
        return
    if not isinstance(segmentation, list) or not segmentation:
        raise EntryError(f"{entry}: segmentation is neither polygons nor RLE", "polygon")
    for number, polygon in enumerate(segmentation):
        if not isinstance(polygon, list) or not _are_numbers(polygon):
            raise EntryError(f"{entry}: polygon {number} is not a list of numbers", "polygon")
        if polygon and not _are_coordinates(polygon):
            raise EntryError(f"{entry}: polygon {number} contains a number that cannot be a coordinate", "polygon")


def _count_pixels(counts: str) -> int | None:
    """Return how many pixels compressed RLE counts cover; None if they are damaged, which pycocotools ignores."""
    try:
        (lengths,) = decode_counts([counts.encode("ascii")])
    except ValueError:  # includes text that is not ASCII
        return None
    return int(lengths.sum()) if lengths.min() >= 0 else None
