"""COCO json: read, check, select, rasterize. Every annotation of the platform passes through here once."""

from __future__ import annotations

import copy
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from vclr.errors import UserError
from vclr.files import read_json

Json = dict[str, Any]

# pycocotools crashes on polygons that reach much farther out, and counts pixels in 32 bits.
MAX_COORDINATE = 1e6
MAX_PIXELS = 2**31 - 1


def load_coco(path: str | Path, images: str | Path | None = None) -> Json:
    """Read a COCO json and check all that a later stage relies on.

    Args:
        path: the json, with `images`, `annotations` and `categories`.
        images: the folder of the image files; where given, each file named must be in it.

    Raises:
        UserError: in one line, the file and the entry at fault.
    """
    coco = read_json(path)
    if not isinstance(coco, dict) or any(not isinstance(coco.get(key), list) for key in ("images", "annotations")):
        raise UserError(f"{path}: is not a COCO json (needs the lists `images` and `annotations`)")
    categories = _category_ids(coco.setdefault("categories", [{"id": 1, "name": "object"}]), path)
    sizes: dict[Any, tuple[int, int]] = {}
    folder = Path(images) if images is not None else None
    if folder is not None and not folder.is_dir():
        raise UserError(f"{folder}: no such folder (images of {path})")
    for position, image in enumerate(coco["images"]):
        entry = f"{path}: images[{position}]"
        _require(image, entry, id=(int, str), file_name=str, height=int, width=int)
        _check_file_name(image["file_name"], entry)
        if image["height"] < 1 or image["width"] < 1:
            raise UserError(f"{entry}: size {image['width']}x{image['height']} is empty")
        if image["height"] * image["width"] > MAX_PIXELS:
            raise UserError(f"{entry}: size {image['width']}x{image['height']} is too large")
        if image["id"] in sizes:
            raise UserError(f"{entry}: id {image['id']} occurs twice")
        if folder is not None and not os.path.isfile(folder / image["file_name"]):  # False for impossible names too
            raise UserError(f"{entry}: file {folder / image['file_name']} does not exist")
        sizes[image["id"]] = image["height"], image["width"]
    seen: set[Any] = set()
    for position, annotation in enumerate(coco["annotations"]):
        entry = f"{path}: annotations[{position}]"
        _require(annotation, entry, id=(int, str), image_id=(int, str), category_id=int, bbox=list)
        entry += f" (id {annotation['id']})"
        if annotation["id"] in seen:
            raise UserError(f"{entry}: the id occurs twice")
        if annotation["image_id"] not in sizes:
            raise UserError(f"{entry}: image {annotation['image_id']} is not in `images`")
        if annotation["category_id"] not in categories:
            raise UserError(f"{entry}: category {annotation['category_id']} is not in `categories`")
        check_box(annotation["bbox"], entry)
        if annotation.get("segmentation") == []:
            annotation["segmentation"] = None  # sets of boxes write it so
        if annotation.get("segmentation") is not None:
            check_segmentation(annotation["segmentation"], *sizes[annotation["image_id"]], entry)
        seen.add(annotation["id"])
    return coco


def _category_ids(categories: Any, path: str | Path) -> set[int]:
    if not isinstance(categories, list):
        raise UserError(f"{path}: `categories` is not a list")
    for position, category in enumerate(categories):
        _require(category, f"{path}: categories[{position}]", id=int, name=str)
    return {category["id"] for category in categories}


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
        if not isinstance(polygon, list) or any(not isinstance(value, (int, float)) for value in polygon):
            raise UserError(f"{entry}: polygon {number} is not a list of numbers")
        if len(polygon) < 6 or len(polygon) % 2:
            raise UserError(f"{entry}: polygon {number} has {len(polygon) / 2:g} points, needs at least 3")
        if not all(map(_is_coordinate, polygon)):
            raise UserError(f"{entry}: polygon {number} holds a number that is not a coordinate")


def _count_pixels(counts: str) -> int | None:
    """Return how many pixels compressed RLE counts cover, None where they are damaged; pycocotools does not look."""
    try:
        (lengths,) = run_lengths([counts.encode("ascii")])
    except ValueError:  # also what is not ASCII
        return None
    return int(lengths.sum()) if lengths.min() >= 0 else None


def run_lengths(counts: list[bytes]) -> list[np.ndarray]:
    """Return the run lengths of compressed RLE counts, (k,) int64 each, zeros first.

    A count is a little-endian number of 5 bits a character, of which the sixth bit says that more follow; from the
    fourth count on it is the difference to the last but one.

    Raises:
        ValueError: counts are damaged.
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


def category_ids(coco: Json, names: list[str], source: str) -> set[int]:
    """Return the ids of the categories called `names`.

    Raises:
        UserError: a name is not a category of the json; says which are.
    """
    by_name = {category["name"]: category["id"] for category in coco["categories"]}
    for name in names:
        if name not in by_name:
            raise UserError(f"{source}: has no category {name!r}; it has {', '.join(map(str, by_name))}")
    return {by_name[name] for name in names}


def select(coco: Json, keep: Callable[[Json], bool], drop_empty_images: bool = True) -> Json:
    """Keep the annotations for which `keep` holds, and the images that still have one outside crowds.

    With `drop_empty_images=False` all images stay.
    """
    annotations = [annotation for annotation in coco["annotations"] if keep(annotation)]
    present = {annotation["image_id"] for annotation in annotations if not annotation.get("iscrowd", 0)}
    images = [image for image in coco["images"] if not drop_empty_images or image["id"] in present]
    kept = {image["id"] for image in images}
    annotations = [annotation for annotation in annotations if annotation["image_id"] in kept]
    return {**coco, "images": images, "annotations": annotations}


def class_agnostic(coco: Json) -> Json:
    """Return a copy in which every annotation is of the one category `object` (id 1), with an area and `iscrowd`."""
    annotations = []
    for annotation in coco["annotations"]:
        merged = copy.copy(annotation)
        merged["category_id"] = 1
        merged.setdefault("iscrowd", 0)
        merged.setdefault("area", annotation["bbox"][2] * annotation["bbox"][3])
        annotations.append(merged)
    return {**coco, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}


def bbox_corners(bbox: list[float]) -> tuple[float, float, float, float]:
    """Turn a COCO box [x, y, width, height] into its corners, xyxy."""
    return bbox[0], bbox[1], bbox[0] + bbox[2], bbox[1] + bbox[3]


def to_rle(segmentation: Any, height: int, width: int) -> Json:
    """Turn polygons, uncompressed or compressed RLE into one compressed RLE with `counts` as bytes."""
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))  # type: ignore[no-any-return]
    if isinstance(segmentation["counts"], list):
        return coco_mask.frPyObjects(segmentation, height, width)  # type: ignore[no-any-return]
    return {"size": [height, width], "counts": segmentation["counts"].encode("ascii")}


def outlines(annotation: Json) -> list[list[float]] | None:
    """Return an annotation's polygons, [x, y, x, y, ...] each; its box where it has no segmentation, None for RLE."""
    segmentation = annotation.get("segmentation")
    if segmentation is None:
        left, top, right, bottom = bbox_corners(annotation["bbox"])
        return [[left, top, right, top, right, bottom, left, bottom]]
    return segmentation if isinstance(segmentation, list) else None


def to_mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Turn polygons or RLE into an (h, w) uint8 mask."""
    return coco_mask.decode(to_rle(segmentation, height, width))  # type: ignore[no-any-return]


def rasterize(annotation: Json, height: int, width: int) -> np.ndarray:
    """Return an annotation's (h, w) uint8 mask; its box, filled, where it has no segmentation."""
    if annotation.get("segmentation") is not None:
        return to_mask(annotation["segmentation"], height, width)
    mask = np.zeros((height, width), np.uint8)
    x, y, w, h = annotation["bbox"]
    mask[max(0, round(y)) : max(0, round(y + h)), max(0, round(x)) : max(0, round(x + w))] = 1
    return mask


def encode_mask(mask: np.ndarray) -> Json:
    """Turn an (h, w) mask into compressed RLE with `counts` as text, ready for json."""
    rle = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def summarize(coco: Json) -> str:
    """Say how many images, objects and crowds a json holds."""
    kinds = Counter(bool(annotation.get("iscrowd", 0)) for annotation in coco["annotations"])
    return f"{len(coco['images'])} images, {kinds[False]} objects, {kinds[True]} crowds"
