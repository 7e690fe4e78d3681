"""What the entries of a COCO json must be: one line for the first thing wrong with each."""

from __future__ import annotations

from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Any

from vclr.errors import UserError
from vclr.rle import run_lengths

Json = dict[str, Any]

# pycocotools crashes on polygons that reach much farther out, and counts pixels in 32 bits.
MAX_COORDINATE = 1e6
MAX_PIXELS = 2**31 - 1


class CocoChecks:
    """Check the entries of one file, first its images, then its annotations, one after another.

    Attributes:
        sizes: (height, width) of each image that was sound, by its id.
    """

    def __init__(self, path: str | Path, categories: Any) -> None:
        """Check the categories.

        Raises:
            UserError: they are no list of ids and names.
        """
        self.path = path
        self.sizes: dict[Any, tuple[int, int]] = {}
        self._annotations: set[Any] = set()
        if not isinstance(categories, list):
            raise UserError(f"{path}: `categories` is not a list")
        for position, category in enumerate(categories):
            _require(category, f"{path}: categories[{position}]", id=int, name=str)
        self._categories = {category["id"] for category in categories}

    def check_image(self, position: int, image: Any) -> str:
        """Check an entry of `images` and return what errors call it.

        Raises:
            UserError: in one line, the file, the entry and what is wrong.
        """
        entry = f"{self.path}: images[{position}]"
        _require(image, entry, id=(int, str), file_name=str, height=int, width=int)
        _check_file_name(image["file_name"], entry)
        if image["height"] < 1 or image["width"] < 1:
            raise UserError(f"{entry}: size {image['width']}x{image['height']} is empty")
        if image["height"] * image["width"] > MAX_PIXELS:
            raise UserError(f"{entry}: size {image['width']}x{image['height']} is too large")
        if image["id"] in self.sizes:
            raise UserError(f"{entry}: id {image['id']} occurs twice")
        self.sizes[image["id"]] = image["height"], image["width"]
        return entry

    def check_annotation(self, position: int, annotation: Any) -> None:
        """Check an entry of `annotations`; where it has no segmentation, `[]` becomes None.

        Raises:
            UserError: in one line, the file, the entry and what is wrong.
        """
        entry = f"{self.path}: annotations[{position}]"
        _require(annotation, entry, id=(int, str), image_id=(int, str), category_id=int, bbox=list)
        entry += f" (id {annotation['id']})"
        if annotation["id"] in self._annotations:
            raise UserError(f"{entry}: the id occurs twice")
        if annotation["image_id"] not in self.sizes:
            raise UserError(f"{entry}: image {annotation['image_id']} is not in `images`")
        if annotation["category_id"] not in self._categories:
            raise UserError(f"{entry}: category {annotation['category_id']} is not in `categories`")
        check_box(annotation["bbox"], entry)
        if annotation.get("segmentation") == []:
            annotation["segmentation"] = None  # sets of boxes write it so
        if annotation.get("segmentation") is not None:
            check_segmentation(annotation["segmentation"], *self.sizes[annotation["image_id"]], entry)
        self._annotations.add(annotation["id"])


def _require(item: Any, entry: str, **types: type | tuple[type, ...]) -> None:
    if not isinstance(item, dict):
        raise UserError(f"{entry}: is not an object")
    for key, kind in types.items():
        if key not in item:
            raise UserError(f"{entry}: has no `{key}`")
        if not isinstance(item[key], kind) or isinstance(item[key], bool):
            raise UserError(f"{entry}: `{key}` is {item[key]!r}, of the wrong type")


def _check_file_name(name: str, entry: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise UserError(f"{entry}: file_name {name!r} leaves the image folder")


def check_box(box: list[Any], entry: str) -> None:
    if len(box) != 4 or not all(map(_is_coordinate, box)) or box[2] < 0 or box[3] < 0:
        raise UserError(f"{entry}: bbox {box!r} is not [x, y, width, height]")


def _is_coordinate(value: Any) -> bool:
    """Tell a number of a usable size; NaN and infinity are none."""
    return isinstance(value, (int, float)) and -MAX_COORDINATE <= value <= MAX_COORDINATE


def check_segmentation(segmentation: Any, height: int, width: int, entry: str) -> None:
    if isinstance(segmentation, dict):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        if size != [height, width]:
            raise UserError(f"{entry}: RLE size {size} differs from the image's [{height}, {width}]")
        if isinstance(counts, list):
            if any(not isinstance(count, int) or count < 0 for count in counts) or sum(counts) != height * width:
                raise UserError(f"{entry}: RLE counts do not add up to {height}x{width} pixels")
        elif not isinstance(counts, str):
            raise UserError(f"{entry}: RLE counts are neither a list nor text")
        elif _count_pixels(counts) != height * width:
            raise UserError(f"{entry}: RLE counts are damaged or do not add up to {height}x{width} pixels")
        return
    if not isinstance(segmentation, list) or not segmentation:
        raise UserError(f"{entry}: segmentation is neither polygons nor RLE")
    for number, polygon in enumerate(segmentation):
        if not isinstance(polygon, list) or not set(map(type, polygon)) <= {int, float}:
            raise UserError(f"{entry}: polygon {number} is not a list of numbers")
        if len(polygon) < 6 or len(polygon) % 2:
            raise UserError(f"{entry}: polygon {number} has {len(polygon) / 2:g} points, needs at least 3")
        # One by one takes longer than all else about a large file. The sum is NaN where a number is.
        if not (min(polygon) >= -MAX_COORDINATE and max(polygon) <= MAX_COORDINATE and isfinite(sum(polygon))):
            raise UserError(f"{entry}: polygon {number} holds a number that is not a coordinate")


def _count_pixels(counts: str) -> int | None:
    """Return how many pixels compressed RLE counts cover, None where they are damaged; pycocotools does not look."""
    try:
        (lengths,) = run_lengths([counts.encode("ascii")])
    except ValueError:  # also what is not ASCII
        return None
    return int(lengths.sum()) if lengths.min() >= 0 else None
