"""Read, select and rasterize COCO annotations. Every annotation that the platform uses passes through here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from vclr.coco.checks import CocoChecks
from vclr.coco.checks import Json as Json  # re-exported for the other rooms
from vclr.coco.file import CocoFile, open_coco
from vclr.errors import UserError, nearest
from vclr.file_names import file_key
from vclr.image_folders.folder import ImageFolder
from vclr.image_folders.open import Images, find_missing, open_folder, say_missing
from vclr.wording import count_of

# The only category of class-agnostic annotations.
OBJECT: Json = {"id": 1, "name": "object"}
MAX_NAMED = 20  # an error lists at most this many categories; LVIS has 1203


def load_coco(path: str | Path, images: Images | None = None) -> Json:
    """Read a COCO json without its unusable annotations, and check everything that later stages rely on.

    Args:
        path: the json, with `images`, `annotations` and `categories`.
        images: the folder of the images, or its zip, or several; if given, they must contain every image of the json.

    Raises:
        UserError: one line that names the file and the bad entry.
    """
    coco = open_coco(path)
    return {**coco.head, "annotations": list(coco.check_annotations(_check_images(coco, images)))}


def open_checked(path: str | Path, images: Images | None = None) -> CocoFile:
    """Check a COCO json as `load_coco` does, and return what is usable of it, with annotations that stay encoded."""
    return check_coco(open_coco(path), images)


def check_coco(coco: CocoFile, images: Images | None = None) -> CocoFile:
    """Check a COCO json that was opened, as `open_checked` does."""
    checks = _check_images(coco, images)
    usable = []
    for position, (text, annotation) in enumerate(zip(coco.annotations, coco.read_annotations(), strict=True)):
        verdict = checks.check_annotation(position, annotation)
        if verdict.is_kept:  # `annotation` lacks its unusable polygons by now
            usable.append(msgspec.Raw(msgspec.json.encode(annotation)) if verdict.problems else text)
    checks.finish(len(coco.annotations))
    return CocoFile(coco.path, coco.head, usable)


def _check_images(coco: CocoFile, images: Images | None) -> CocoChecks:
    checks = coco.check_images()
    if images is not None:
        open_images(images, coco.images, coco.path)
    return checks


def open_images(folder: Images, images: list[Json], source: str | Path) -> ImageFolder:
    """Open the image folder of a json, or its zip, and check that it contains every image.

    Raises:
        UserError: the folder or an image does not exist; names `source` (the json) and the nearest file.
    """
    if (missing := find_missing(folder)) is not None:
        raise UserError(f"images of {source}: {missing}: {say_missing(missing)}")
    opened = open_folder(folder)
    for image in images:
        if image["file_name"] not in opened:
            path = opened.path_of(image["file_name"])
            used = {file_key(other["file_name"]) for other in images}
            near = opened.index(used).nearest(image["file_name"])
            says = f"; nearest: {opened.path_of(near)}" if near is not None else ""
            raise UserError(f"{source}: image {image['id']}: file {path} does not exist{says}")
    return opened


def category_ids(coco: Json, names: list[str], source: str) -> set[int]:
    """Return the ids of the categories called `names`.

    Raises:
        UserError: the json has no category of this name; gives the nearest.
    """
    for problem in list_unknown_categories(coco["categories"], names, source):
        raise UserError(problem)
    return {category["id"] for category in coco["categories"] if category["name"] in names}


def list_unknown_categories(categories: list[Json], names: Iterable[str], source: str) -> Iterator[str]:
    """Yield one line for each name that is not a category, with the nearest one, and all of them if they are few."""
    known = list(dict.fromkeys(category["name"] for category in categories))
    for name in names:
        if name not in known:
            near = f"; nearest: {nearest(name, known)!r}" if known else ""
            listed = f"; it has {', '.join(known)}" if 0 < len(known) <= MAX_NAMED else ""
            yield f"{source}: has no category {name!r}{near}{listed}"


def select(coco: Json, keep: Callable[[Json], bool]) -> Json:
    """Keep the annotations for which `keep` is true, and the images that still have one that is not a crowd."""
    annotations = [annotation for annotation in coco["annotations"] if keep(annotation)]
    present = {annotation["image_id"] for annotation in annotations if not annotation.get("iscrowd", 0)}
    images = [image for image in coco["images"] if image["id"] in present]
    annotations = [annotation for annotation in annotations if annotation["image_id"] in present]
    return {**coco, "images": images, "annotations": annotations}


def as_object(annotation: Json) -> Json:
    """Return a copy of an annotation with the category `object`, an area and `iscrowd`."""
    merged = {**annotation, "category_id": OBJECT["id"]}
    merged.setdefault("iscrowd", 0)
    merged.setdefault("area", annotation["bbox"][2] * annotation["bbox"][3])
    return merged


def bbox_corners(bbox: list[float]) -> tuple[float, float, float, float]:
    """Convert a COCO box [x, y, width, height] to its corners, xyxy."""
    return bbox[0], bbox[1], bbox[0] + bbox[2], bbox[1] + bbox[3]


def box_polygon(bbox: list[float]) -> list[float]:
    """Convert a COCO box to the polygon of its corners, [x, y, x, y, ...]."""
    left, top, right, bottom = bbox_corners(bbox)
    return [left, top, right, top, right, bottom, left, bottom]


def to_rle(segmentation: Any, height: int, width: int) -> Json:
    """Convert polygons, uncompressed RLE or compressed RLE to one compressed RLE with `counts` as bytes."""
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))  # type: ignore[no-any-return]
    if isinstance(segmentation["counts"], list):
        return coco_mask.frPyObjects(segmentation, height, width)  # type: ignore[no-any-return]
    return {"size": [height, width], "counts": segmentation["counts"].encode("ascii")}


def outlines(annotation: Json) -> list[list[float]] | None:
    """Return an annotation's polygons, each [x, y, x, y, ...]; its box if it has no segmentation; None for RLE."""
    segmentation = annotation.get("segmentation")
    if not segmentation:
        return [box_polygon(annotation["bbox"])]
    return segmentation if isinstance(segmentation, list) else None


def to_mask(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Convert polygons or RLE to an (h, w) uint8 mask."""
    return coco_mask.decode(to_rle(segmentation, height, width))  # type: ignore[no-any-return]


def rasterize(annotation: Json, height: int, width: int) -> np.ndarray:
    """Return an annotation's (h, w) uint8 mask; if it has no segmentation, its filled box."""
    if annotation.get("segmentation") is not None:
        return to_mask(annotation["segmentation"], height, width)
    mask = np.zeros((height, width), np.uint8)
    x, y, w, h = annotation["bbox"]
    mask[max(0, round(y)) : max(0, round(y + h)), max(0, round(x)) : max(0, round(x + w))] = 1
    return mask


def encode_mask(mask: np.ndarray) -> Json:
    """Convert an (h, w) mask to compressed RLE with `counts` as text, ready for json."""
    return _as_text(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)))


def encode_run_lengths(lengths: list[int], height: int, width: int) -> Json:
    """Convert run lengths, zeros first, to what `encode_mask` returns for the mask."""
    return _as_text(coco_mask.frPyObjects({"size": [height, width], "counts": lengths}, height, width))


def _as_text(rle: Json) -> Json:
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def summarize(coco: Json) -> str:
    """Return the numbers of images, objects and crowds in a json, in words."""
    kinds = Counter(bool(annotation.get("iscrowd", 0)) for annotation in coco["annotations"])
    return say_contents(len(coco["images"]), kinds[False], kinds[True])


def say_contents(images: int, objects: int, crowds: int) -> str:
    """Return the numbers of images, objects and crowds in words."""
    return f"{count_of(images, 'image')}, {count_of(objects, 'object')}, {count_of(crowds, 'crowd')}"
