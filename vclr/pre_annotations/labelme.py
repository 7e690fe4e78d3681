"""A labelme json per photo, which refers to the photo where it lies."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

from PIL import Image

from vclr.coco.annotations import Json
from vclr.files import write_json
from vclr.pre_annotations.photo import FoundObject, FoundPhoto, Naming

VERSION = "5.3.0"  # the first that has masks


def write(photos: list[FoundPhoto], folder: Path, naming: Naming) -> None:
    """Write `<stem>.json` for each photo. Masks are pictures if no single polygon shows them."""
    for photo in photos:
        shapes = [_as_shape(one, naming.label) for one in photo.objects]
        path = os.path.relpath(photo.path, os.path.realpath(folder))
        size = {"imageHeight": photo.height, "imageWidth": photo.width}
        content: Json = {
            "version": VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": path,
            "imageData": None,
            **size,
        }
        write_json(folder / f"{photo.path.stem}.json", content, indent=1)


def _as_shape(one: FoundObject, label: str) -> Json:
    shape: Json = {"label": label, "group_id": None, "description": "", "flags": {}, "score": one.score}
    if one.polygon:
        return {**shape, "shape_type": "polygon", "points": one.points, "mask": None}
    left, top, width, height = one.box
    corners = [[left, top], [left + width - 1, top + height - 1]]  # the last pixel is part of the mask
    return {**shape, "shape_type": "mask", "points": corners, "mask": _as_picture(one)}


def _as_picture(one: FoundObject) -> str:
    file = io.BytesIO()
    Image.fromarray(one.crop() * 255).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
