"""Read the COCO json that an annotation tool exported, whatever its habits: the part that several importers share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from vclr.coco.checks import Json, check_segmentation, is_finite_number
from vclr.coco.habits import are_mostly_crowds, find_root_category, is_brush_crowd, is_windows_path
from vclr.errors import UserError
from vclr.files import read_json
from vclr.generate.importers.collect import Collector, OpenPhoto

ROOT = "extra root category without objects, left out"
BRUSHES = "brush masks that are marked as crowds, imported as objects"
WINDOWS = "names with backslashes, read as paths"
FLAT = "polygons without a list around them"
TEXT_IDS = "ids written as text"
NO_SIZE = "photos without a size in the json, measured in their files"
NO_SHAPE = "annotations with neither a mask nor a box, left out"


def read_coco_export(
    path: Path,
    collector: Collector,
    keep_crowds: bool = False,
    all_brushes: bool = False,
    rename: Callable[[Json], str | None] | None = None,
    below: str = "",
) -> list[str]:
    """Add all photos and objects of a COCO json to a collection.

    Args:
        path: the json.
        collector: the collection.
        keep_crowds: crowds stay crowds, even those that look like CVAT's brush masks.
        all_brushes: every crowd is a brush mask, because the tool knows no other crowds.
        rename: returns the name that the photo of an entry of `images` had before the tool renamed it.
        below: the folder, below that of the photos, in which the names start.

    Returns:
        The names of its categories, without Roboflow's extra one.

    Raises:
        UserError: one line that names the file, the entry and the problem.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "annotations")
    ):
        raise UserError(f"{path}: is not a COCO json (needs the lists `images` and `annotations`)")
    annotations = content["annotations"]
    categories = _read_categories(content, path, collector)
    crowds = [isinstance(one, dict) and one.get("iscrowd") in (1, True) for one in annotations]
    all_brushes |= are_mostly_crowds(sum(crowds), len(crowds) - sum(crowds))
    photos: dict[str, OpenPhoto] = {}
    for number, image in enumerate(content["images"]):
        entry = f"{path}: images[{number}]"
        if not isinstance(image, dict) or not isinstance(image.get("file_name"), str) or "id" not in image:
            raise UserError(f"{entry}: needs an id and a file_name")
        if _id(image["id"]) in photos:
            raise UserError(f"{entry}: id {image['id']} occurs twice")
        photos[_id(image["id"])] = _open(image, entry, collector, rename, below)
    for number, annotation in enumerate(annotations):
        entry = f"{path}: annotations[{number}]"
        if not isinstance(annotation, dict):
            raise UserError(f"{entry}: is not an object")
        photo, name = photos.get(_id(annotation.get("image_id"))), categories.get(_id(annotation.get("category_id")))
        if photo is None:
            raise UserError(f"{entry}: image {annotation.get('image_id')!r} is not in `images`")
        if name is None:
            raise UserError(f"{entry}: category {annotation.get('category_id')!r} is not in `categories`")
        is_crowd = annotation.get("iscrowd") in (1, True)
        if is_crowd and not keep_crowds and (all_brushes or is_brush_crowd(annotation)):
            collector.notes.add(BRUSHES, entry)
            is_crowd = False
        _add(annotation, name, photo, entry, collector, is_crowd)
    return list(categories.values())


def _id(value: Any) -> str:
    """Return an id as text: tools mix 1, 1.0 and "1"."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _read_categories(content: Json, path: Path, collector: Collector) -> dict[str, str]:
    """Return the names of the categories by id, without Roboflow's extra one."""
    categories = content.get("categories", [])
    used = {one.get("category_id") for one in content["annotations"] if isinstance(one, dict) and _is_id(one)}
    names: dict[str, str] = {}
    for number, category in enumerate(categories if isinstance(categories, list) else []):
        if not isinstance(category, dict) or not isinstance(category.get("name"), str) or "id" not in category:
            raise UserError(f"{path}: categories[{number}]: needs an id and a name")
        if names.setdefault(_id(category["id"]), category["name"]) != category["name"]:
            raise UserError(f"{path}: categories[{number}]: id {category['id']} belongs to another category, too")
        if isinstance(category["id"], str):
            collector.notes.add(TEXT_IDS, f"{path}: categories[{number}]")
    if not names:
        raise UserError(f"{path}: has no categories")
    root = find_root_category(categories, used)
    if root is not None:
        collector.notes.add(ROOT, f"{path}: {root['name']!r} (id {root['id']})")
        del names[_id(root["id"])]
    return names


def _is_id(annotation: Json) -> bool:
    return isinstance(annotation.get("category_id"), (int, float, str))


def _open(
    image: Json, entry: str, collector: Collector, rename: Callable[[Json], str | None] | None, below: str
) -> OpenPhoto:
    if is_windows_path(image["file_name"]):
        collector.notes.add(WINDOWS, f"{entry}: {image['file_name']!r}")
    if isinstance(image["id"], str):
        collector.notes.add(TEXT_IDS, entry)
    size: tuple[Any, Any] | None = (image.get("width"), image.get("height"))
    if not all(isinstance(side, (int, float)) and side > 0 for side in size or ()):
        collector.notes.add(NO_SIZE, entry)
        size = None
    former = rename(image) if rename is not None else None
    named = f"{below}/{image['file_name']}" if below else image["file_name"]
    return collector.open(named, entry, size, None if former is None else lambda _: former)


def _add(annotation: Json, name: str, photo: OpenPhoto, entry: str, collector: Collector, is_crowd: bool) -> None:
    """Add an annotation by its mask, or by its box if it has none."""
    shape = annotation.get("segmentation")
    if isinstance(shape, dict):
        photo.add_rle(name, _read_rle(shape, photo, entry), entry, is_crowd)
        return
    if isinstance(shape, list) and shape and (isinstance(shape[0], (int, float)) or all(map(_is_point, shape))):
        collector.notes.add(FLAT, entry)
        shape = [shape]
    if isinstance(shape, list) and any(shape):
        photo.add_polygons(name, [_pairs(polygon, entry) for polygon in shape], entry, is_crowd)
        return
    box = annotation.get("bbox")
    if isinstance(box, list) and len(box) == 4 and all(isinstance(side, (int, float)) for side in box):
        left, top, width, height = box
        photo.add_box(name, (left, top, left + max(0, width), top + max(0, height)), entry)
        return
    if box:
        raise UserError(f"{entry}: bbox {box!r} is not [x, y, width, height]")
    collector.notes.add(NO_SHAPE, entry)


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(side, (int, float)) for side in value)


def _pairs(polygon: Any, entry: str) -> list[list[float]]:
    """Return [x, y, x, y, ...] or [[x, y], ...] as points; the last has only x if the number of values is odd."""
    if isinstance(polygon, list) and polygon and all(map(_is_point, polygon)):
        return polygon
    if not isinstance(polygon, list) or not all(isinstance(value, (int, float)) for value in polygon):
        raise UserError(f"{entry}: a polygon is not a list of numbers")
    return [polygon[start : start + 2] for start in range(0, len(polygon), 2)]


def _read_rle(rle: Json, photo: OpenPhoto, entry: str) -> Json:
    """Check RLE, whose counts some writers have as floats, and return it."""
    counts = rle.get("counts")
    if isinstance(counts, list) and all(map(is_finite_number, counts)):
        rle = {**rle, "counts": [int(count) for count in counts]}
    check_segmentation(rle, photo.height, photo.width, entry)
    return rle
