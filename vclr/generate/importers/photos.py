"""Imported photos with their objects, and how they are written as a COCO json."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pycocotools import mask as coco_mask

from vclr.coco.annotations import Json, summarize, to_rle
from vclr.errors import UserError
from vclr.files import write_json
from vclr.wording import count_of


class Box(NamedTuple):
    """The place of an object whose outline is not annotated, in pixels."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Photo:
    """A photo and its annotated objects.

    Attributes:
        file_name: path below the folder of the photos, with slashes.
        height: in pixels, upright.
        width: in pixels, upright.
        objects: class name and segmentation of each, polygons or RLE as in COCO, or a `Box`.
        crowds: the same of crowds, always RLE.
    """

    file_name: str
    height: int
    width: int
    objects: list[tuple[str, Any]]
    crowds: list[tuple[str, Any]] = field(default_factory=list)


def count_pixels(segmentation: Any, height: int, width: int) -> int:
    """Return how many pixels of the image a segmentation covers."""
    return int(coco_mask.area(to_rle(segmentation, height, width)))


def unite(segmentations: Sequence[Any], height: int, width: int) -> Json:
    """Return RLE, with `counts` as text, of all pixels that any segmentation covers; an empty list covers none."""
    rle = coco_mask.merge([to_rle(one, height, width) for one in segmentations if one])
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}


def write_photos(output: Path, photos: Iterable[Photo], names: Iterable[str] = ()) -> str:
    """Write a COCO json. Ids start at 1: images are ordered by file name, categories by name, annotations by image.

    Args:
        output: the json to write.
        photos: in any order.
        names: classes that are categories even if they have no object.

    Returns:
        The content of the json, in words.

    Raises:
        UserError: there are no photos.
    """
    ordered = sorted(photos, key=lambda photo: photo.file_name)
    if not ordered:
        raise UserError(f"{output}: nothing to write, because no annotated photo was found")
    found = {name for photo in ordered for name, _ in (*photo.objects, *photo.crowds)}
    categories = [{"id": number, "name": name} for number, name in enumerate(sorted(found.union(names)), start=1)]
    ids = {category["name"]: category["id"] for category in categories}
    images: list[Json] = []
    annotations: list[Json] = []
    for number, photo in enumerate(ordered, start=1):
        size = {"height": photo.height, "width": photo.width}
        images.append({"id": number, "file_name": photo.file_name, **size})
        for is_crowd, group in enumerate((photo.objects, photo.crowds)):
            for name, segmentation in group:
                owner = {"id": len(annotations) + 1, "image_id": number, "category_id": ids[name], "iscrowd": is_crowd}
                annotations.append({**owner, **_shape_of(segmentation, photo)})
    coco = {"images": images, "annotations": annotations, "categories": categories}
    write_json(output, coco)
    return f"{output}: {summarize(coco)}, {count_of(len(categories), 'class', 'classes')}"


def _shape_of(segmentation: Any, photo: Photo) -> Json:
    """Return the box, the area and the segmentation of an annotation; a box alone has the segmentation `[]`."""
    if isinstance(segmentation, Box):
        return {"bbox": list(segmentation), "area": segmentation.width * segmentation.height, "segmentation": []}
    rle = to_rle(segmentation, photo.height, photo.width)
    return {"bbox": coco_mask.toBbox(rle).tolist(), "area": int(coco_mask.area(rle)), "segmentation": segmentation}
