"""The habits of annotation tools that their COCO json shows: each differs from COCO's own files."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from vclr.coco.checks import Json

# Roboflow's name of `photo.jpg`: `photo_jpg.rf.HASH.jpg`.
ROBOFLOW_NAME = re.compile(
    r"^(?P<stem>.+)_(?P<suffix>jpe?g|png|bmp|webp|tiff?|gif)\.rf\.[0-9A-Za-z_-]+\.\w+$", re.IGNORECASE
)
# Label Studio's name of an uploaded `photo.jpg`: `1a2b3c4d-photo.jpg`.
UPLOADED_NAME = re.compile(r"^[0-9a-f]{8}-(?P<name>.+)$")


def find_root_category(categories: list[Any], used: Collection[Any]) -> Json | None:
    """Return Roboflow's extra category: the first one, without objects, under which all others are.

    Args:
        categories: of the json, unchecked.
        used: the ids of categories that have annotations.
    """
    first = categories[0] if categories else None
    if not isinstance(first, dict) or first.get("supercategory") not in ("none", None):
        return None
    if str(first.get("id")) in map(str, used):
        return None
    others = [one.get("supercategory") for one in categories[1:] if isinstance(one, dict)]
    return first if others and all(above == first.get("name") for above in others) else None


def last_part(name: str) -> str:
    """Return a file's name without its folders, with slashes or backslashes."""
    return name.replace("\\", "/").rpartition("/")[2]


def original_name(image: Json) -> str | None:
    """Return the name that a photo had before Roboflow renamed it; None if it did not."""
    match = ROBOFLOW_NAME.match(last_part(str(image.get("file_name", ""))))
    if match is None:
        return None
    extra = image.get("extra")
    if isinstance(extra, dict) and isinstance(extra.get("name"), str) and extra["name"]:
        return extra["name"]
    return f"{match['stem']}.{match['suffix']}"


def without_upload_hash(name: str) -> str:
    """Return the name that a photo had before it was uploaded to Label Studio."""
    match = UPLOADED_NAME.match(name)
    return match["name"] if match else name


def is_windows_path(name: Any) -> bool:
    """Tell whether a name has the backslashes of a path on Windows."""
    return isinstance(name, str) and "\\" in name


def is_label_studio_path(name: Any) -> bool:
    """Tell whether a name is an address or a path of Label Studio's own storage, and not one below a folder."""
    slashed = name.replace("\\", "/") if isinstance(name, str) else ""
    return "/data/local-files/" in slashed or "label-studio/" in slashed or "data/media/upload/" in slashed


def are_mostly_crowds(num_crowds: int, num_objects: int) -> bool:
    """Tell whether a json has so many crowds that they must be single objects: of COCO's annotations, 1 % are."""
    return num_crowds > 0 and num_crowds >= num_objects


def is_brush_crowd(annotation: Json) -> bool:
    """Tell whether CVAT wrote an annotation as a crowd only because it is a mask.

    CVAT and Datumaro mark every mask as a crowd, and write the attributes of each annotation, which COCO has not.
    """
    return (
        annotation.get("iscrowd") in (1, True)
        and isinstance(annotation.get("segmentation"), dict)
        and isinstance(annotation.get("attributes"), dict)
    )
