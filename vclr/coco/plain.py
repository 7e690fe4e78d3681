"""Other tools' COCO json in the form that this package checks, for evaluation, which needs less of it than training.

Tools write whole numbers as floats and missing values as null, and leave out what can be computed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from pycocotools import mask as coco_mask

from vclr.coco.annotations import check_coco, to_rle
from vclr.coco.checks import MAX_PIXELS, Json, check_segmentation
from vclr.coco.file import CocoFile, open_coco
from vclr.coco.official import last_part
from vclr.coco.unusable import remove_unusable_polygons
from vclr.errors import UserError

Size = tuple[int, int]  # height, width

WHOLE = ("id", "image_id", "category_id", "height", "width")
OPTIONAL = ("area", "iscrowd", "segmentation", "bbox")


def open_ground_truth(path: str | Path) -> CocoFile:
    """Open and check a COCO json as `open_checked` does, except for what evaluation can do without.

    Ids and sizes may be floats without a fraction; `area`, `iscrowd` and `bbox` may be null or missing (a box is taken
    from the segmentation), and so may `file_name` (it is taken from `coco_url` or the id), the names of categories and
    `categories` themselves.

    Raises:
        UserError: one line that names the file and the bad entry, or says that there is no object.
    """
    coco = open_coco(path)
    images = [_plain_image(image) for image in coco.images]
    sizes = {image["id"]: (image["height"], image["width"]) for image in images if _has_size(image)}
    annotations = []
    ids: set[int] = set()
    for position, (text, annotation) in enumerate(zip(coco.annotations, coco.read_annotations(), strict=True)):
        plain = _plain_annotation(annotation, sizes, f"{path}: annotations[{position}]")
        annotations.append(text if plain is annotation else msgspec.Raw(msgspec.json.encode(plain)))
        if isinstance(plain, dict) and isinstance(plain.get("category_id"), int):
            ids.add(plain["category_id"])
    categories = coco.head["categories"]
    if "categories" not in coco.texts:
        categories = [{"id": number, "name": str(number)} for number in sorted(ids)]
    elif isinstance(categories, list):
        categories = [_plain_category(category) for category in categories]
    usable = check_coco(CocoFile(coco.path, {**coco.head, "images": images, "categories": categories}, annotations))
    check_has_object(path, usable.read_annotations())
    return usable


def check_has_object(path: str | Path, annotations: Iterable[Json]) -> None:
    """Refuse a ground truth that nothing can be compared with."""
    if all(annotation.get("iscrowd", 0) for annotation in annotations):
        raise UserError(f"{path}: holds no object")


def _plain_image(image: Any) -> Any:
    image = _with_whole_numbers(image)
    if isinstance(image, dict) and image.get("file_name") is None and "id" in image:
        url = image.get("coco_url")
        return {**image, "file_name": last_part(url) if isinstance(url, str) and url else str(image["id"])}
    return image


def _plain_category(category: Any) -> Any:
    category = _with_whole_numbers(category)
    if isinstance(category, dict) and category.get("name") is None and "id" in category:
        return {**category, "name": str(category["id"])}
    return category


def _plain_annotation(annotation: Any, sizes: dict[Any, Size], entry: str) -> Any:
    annotation = _with_whole_numbers(annotation)
    if not isinstance(annotation, dict):
        return annotation
    if any(key in annotation and annotation[key] is None for key in OPTIONAL):
        annotation = {key: value for key, value in annotation.items() if key not in OPTIONAL or value is not None}
    owner = annotation.get("image_id")
    if "bbox" in annotation or not annotation.get("segmentation") or not isinstance(owner, (int, str)):
        return annotation
    return {**annotation, "bbox": _box_of(annotation, sizes[owner], entry)} if owner in sizes else annotation


def _box_of(annotation: Json, size: Size, entry: str) -> list[float]:
    """Return the box of a segmentation; if none of its polygons is usable, an empty one, which is dropped."""
    segmentation = remove_unusable_polygons({**annotation})["segmentation"]
    if not segmentation:
        return [0, 0, 0, 0]
    check_segmentation(segmentation, *size, entry)
    box: list[float] = coco_mask.toBbox(to_rle(segmentation, *size)).tolist()
    return box


def _with_whole_numbers(entry: Any) -> Any:
    """Return an entry whose ids and sizes are integers, the entry itself if they are."""
    if not isinstance(entry, dict):
        return entry
    whole = {key: int(entry[key]) for key in WHOLE if isinstance(entry.get(key), float) and entry[key].is_integer()}
    return {**entry, **whole} if whole else entry


def _has_size(image: Any) -> bool:
    if not isinstance(image, dict) or not isinstance(image.get("id"), (int, str)):
        return False
    return all(type(image.get(key)) is int and 0 < image[key] <= MAX_PIXELS for key in ("height", "width"))
