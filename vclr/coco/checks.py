"""What the entries of a COCO json must be: one line for the first thing wrong with each."""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from vclr.coco.rle import run_lengths
from vclr.coco.units import Units
from vclr.errors import UserError
from vclr.file_names import CONTROL, leaves_folder

Json = dict[str, Any]

# pycocotools crashes on polygons that reach much farther out, and counts pixels in 32 bits.
MAX_COORDINATE = 1e6
MAX_PIXELS = 2**31 - 1


class EntryError(UserError):
    """Report an entry that cannot be used; `topic` says in two or three words what is wrong with it."""

    def __init__(self, message: str, topic: str = "entry") -> None:
        super().__init__(message)
        self.topic = topic


class CocoChecks:
    """Check the entries of one file, first its images, then its annotations, one after another.

    Attributes:
        sizes: (height, width) of each image that was sound, by its id.
        units: what `check_units` goes by.
    """

    def __init__(self, path: str | Path, categories: Any) -> None:
        """Check the categories.

        Raises:
            UserError: they are no list of ids and names, or two have one id.
        """
        self.path = path
        self.sizes: dict[Any, tuple[int, int]] = {}
        self.units = Units()
        self._annotations: set[Any] = set()
        self._categories: dict[int, tuple[int, str]] = {}  # id -> position, name
        if not isinstance(categories, list):
            raise UserError(f"{path}: `categories` is not a list")
        for position, category in enumerate(categories):
            self.check_category(position, category)

    def check_category(self, position: int, category: Any) -> None:
        """Check an entry of `categories`. One that is there twice, alike, does no harm.

        Raises:
            EntryError: it has no id or name, or another one has its id.
        """
        entry = f"{self.path}: categories[{position}]"
        _require(category, entry, id=int, name=str)
        first, name = self._categories.setdefault(category["id"], (position, category["name"]))
        if name != category["name"]:
            says = f"id {category['id']} is {category['name']!r}, but categories[{first}] has it for {name!r}"
            raise EntryError(f"{entry}: {says}; give each category an id of its own", "id of two categories")

    def check_image(self, position: int, image: Any) -> str:
        """Check an entry of `images` and return what errors call it.

        Raises:
            EntryError: in one line, the file, the entry and what is wrong.
        """
        entry = f"{self.path}: images[{position}]"
        _require(image, entry, id=(int, str), file_name=str, height=int, width=int)
        _check_file_name(image["file_name"], entry)
        if image["height"] < 1 or image["width"] < 1:
            raise EntryError(f"{entry}: size {image['width']}x{image['height']} is empty", "size of an image")
        if image["height"] * image["width"] > MAX_PIXELS:
            raise EntryError(f"{entry}: size {image['width']}x{image['height']} is too large", "size of an image")
        if image["id"] in self.sizes:
            raise EntryError(f"{entry}: id {image['id']} occurs twice", "id that occurs twice")
        self.sizes[image["id"]] = image["height"], image["width"]
        return entry

    def check_annotation(self, position: int, annotation: Any) -> None:
        """Check an entry of `annotations`; where it has no segmentation, `[]` becomes None.

        Raises:
            EntryError: in one line, the file, the entry and what is wrong.
        """
        entry = self.check_alone(position, annotation)
        if annotation["id"] in self._annotations:
            raise EntryError(f"{entry}: the id occurs twice", "id that occurs twice")
        self._annotations.add(annotation["id"])

    def check_alone(self, position: int, annotation: Any) -> str:
        """Check an entry of `annotations` but for its id, which others may have too; return what errors call it.

        Raises:
            EntryError: as `check_annotation`.
        """
        entry = f"{self.path}: annotations[{position}]"
        _require(annotation, entry, id=(int, str), image_id=(int, str), category_id=int, bbox=list)
        entry += f" (id {annotation['id']})"
        if annotation["image_id"] not in self.sizes:
            says = f"{annotation['image_id']!r} is not in `images`{say_twin(annotation['image_id'], self.sizes)}"
            raise EntryError(f"{entry}: image {says}", "annotation without image")
        if annotation["category_id"] not in self._categories:
            says = f"category {annotation['category_id']} is not in `categories`"
            raise EntryError(f"{entry}: {says}", "annotation without category")
        check_box(annotation["bbox"], entry)
        if annotation.get("segmentation") == []:
            annotation["segmentation"] = None  # sets of boxes write it so
        if annotation.get("segmentation") is not None:
            check_segmentation(annotation["segmentation"], *self.sizes[annotation["image_id"]], entry)
        _check_evaluated(annotation, entry)
        if self.units.are_open:
            self.units.add(annotation, self.sizes[annotation["image_id"]])
        return entry

    def check_units(self) -> None:
        """Check, once all annotations have passed, that they count in pixels.

        Raises:
            EntryError: they lie between 0 and 1, as shares of the image.
        """
        if says := self.units.say_shares():
            raise EntryError(f"{self.path}: {says}", "units")


def say_twin(value: int | str, known: Collection[Any]) -> str:
    """Say, of an id that is not known, that it is as text, or as a number; empty if it is neither."""
    if isinstance(value, str):
        twin = int(value) if value.isascii() and value.isdecimal() and len(value) < 20 else None
        return f" (which has {twin}, as a number)" if twin in known else ""
    return f" (which has '{value}', as text)" if str(value) in known else ""


def _require(item: Any, entry: str, **types: type | tuple[type, ...]) -> None:
    if not isinstance(item, dict):
        raise EntryError(f"{entry}: is not an object", "form of an entry")
    for key, kind in types.items():
        if key not in item:
            raise EntryError(f"{entry}: has no `{key}`", "form of an entry")
        if not isinstance(item[key], kind) or isinstance(item[key], bool):
            raise EntryError(f"{entry}: `{key}` is {item[key]!r}, of the wrong type", "form of an entry")


def _check_file_name(name: str, entry: str) -> None:
    if name in ("", "."):
        raise EntryError(f"{entry}: file_name {name!r} names no file", "file name")
    if leaves_folder(name):
        raise EntryError(f"{entry}: file_name {name!r} leaves the image folder", "file name")
    if not name.isprintable() and CONTROL.search(name):
        raise EntryError(f"{entry}: file_name {name!r} holds a control character", "file name")


def _check_evaluated(annotation: Json, entry: str) -> None:
    """Check what only an evaluation looks at, and what may be missing."""
    area, crowd = annotation.get("area", 0), annotation.get("iscrowd", 0)
    if not isinstance(area, (int, float)) or not -MAX_PIXELS <= area <= MAX_PIXELS:
        raise EntryError(f"{entry}: area {area!r} is not a number of pixels", "area")
    if crowd not in (0, 1):
        raise EntryError(f"{entry}: iscrowd {crowd!r} is neither 0 nor 1", "iscrowd")


def check_box(box: list[Any], entry: str) -> None:
    if len(box) != 4 or not _are_numbers(box) or not _are_coordinates(box) or box[2] < 0 or box[3] < 0:
        raise EntryError(f"{entry}: bbox {box!r} is not [x, y, width, height]", "box")


def _are_numbers(values: list[Any]) -> bool:
    return {float, int}.issuperset(map(type, values))


def _are_coordinates(numbers: list[float]) -> bool:
    """Tell numbers of a usable size; NaN and infinity are none. A loop in Python would take most of a reader's time."""
    return min(numbers) >= -MAX_COORDINATE and max(numbers) <= MAX_COORDINATE and not math.isnan(sum(numbers))


def check_segmentation(segmentation: Any, height: int, width: int, entry: str) -> None:
    if isinstance(segmentation, dict):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        if size != [height, width]:
            raise EntryError(f"{entry}: RLE size {size} differs from the image's [{height}, {width}]", "RLE")
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
        if len(polygon) < 6 or len(polygon) % 2:
            raise EntryError(f"{entry}: polygon {number} has {len(polygon) / 2:g} points, needs at least 3", "polygon")
        if not _are_coordinates(polygon):
            raise EntryError(f"{entry}: polygon {number} holds a number that is not a coordinate", "polygon")


def _count_pixels(counts: str) -> int | None:
    """Return how many pixels compressed RLE counts cover, None where they are damaged; pycocotools does not look."""
    try:
        (lengths,) = run_lengths([counts.encode("ascii")])
    except ValueError:  # also what is not ASCII
        return None
    return int(lengths.sum()) if lengths.min() >= 0 else None
