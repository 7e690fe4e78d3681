"""COCO json: read, check, select, rasterize. Every annotation of the platform passes through here once."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from vclr.errors import UserError
from vclr.files import read_json

Json = dict[str, Any]


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
    coco.setdefault("categories", [{"id": 1, "name": "object"}])
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
        if image["id"] in sizes:
            raise UserError(f"{entry}: id {image['id']} occurs twice")
        if folder is not None and not (folder / image["file_name"]).is_file():
            raise UserError(f"{entry}: file {folder / image['file_name']} does not exist")
        sizes[image["id"]] = image["height"], image["width"]
    categories = {category["id"] for category in coco["categories"]}
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
        _check_box(annotation["bbox"], entry)
        if annotation.get("segmentation") is not None:
            _check_segmentation(annotation["segmentation"], *sizes[annotation["image_id"]], entry)
        seen.add(annotation["id"])
    return coco


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
    if not name or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise UserError(f"{entry}: file_name {name!r} leaves the image folder")


def _check_box(box: list[Any], entry: str) -> None:
    numbers = all(isinstance(value, (int, float)) and np.isfinite(value) for value in box)
    if len(box) != 4 or not numbers or box[2] < 0 or box[3] < 0:
        raise UserError(f"{entry}: bbox {box!r} is not [x, y, width, height]")


def _check_segmentation(segmentation: Any, height: int, width: int, entry: str) -> None:
    if isinstance(segmentation, dict):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        if size != [height, width]:
            raise UserError(f"{entry}: RLE size {size} differs from the image's [{height}, {width}]")
        if isinstance(counts, list):
            if any(not isinstance(count, int) or count < 0 for count in counts) or sum(counts) != height * width:
                raise UserError(f"{entry}: RLE counts do not add up to {height}x{width} pixels")
        elif not isinstance(counts, str) or not counts.isascii():
            raise UserError(f"{entry}: RLE counts are neither a list nor text")
        return
    if not isinstance(segmentation, list) or not segmentation:
        raise UserError(f"{entry}: segmentation is neither polygons nor RLE")
    for number, polygon in enumerate(segmentation):
        if not isinstance(polygon, list) or any(not isinstance(value, (int, float)) for value in polygon):
            raise UserError(f"{entry}: polygon {number} is not a list of numbers")
        if len(polygon) < 6 or len(polygon) % 2:
            raise UserError(f"{entry}: polygon {number} has {len(polygon) / 2:g} points, needs at least 3")
        if not np.isfinite(polygon).all():
            raise UserError(f"{entry}: polygon {number} holds a number that is not finite")


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


def to_rle(segmentation: Any, height: int, width: int) -> Json:
    """Turn polygons, uncompressed or compressed RLE into one compressed RLE with `counts` as bytes."""
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))  # type: ignore[no-any-return]
    if isinstance(segmentation["counts"], list):
        return coco_mask.frPyObjects(segmentation, height, width)  # type: ignore[no-any-return]
    return {"size": segmentation["size"], "counts": segmentation["counts"].encode("ascii")}


def rasterize(annotation: Json, height: int, width: int) -> np.ndarray:
    """Return an annotation's (h, w) uint8 mask; its box, filled, where it has no segmentation."""
    if annotation.get("segmentation") is not None:
        return coco_mask.decode(to_rle(annotation["segmentation"], height, width))  # type: ignore[no-any-return]
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
