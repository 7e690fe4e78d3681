"""A COCO json, which most tools import; `vclr score` and `vclr repair` read it too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pycocotools import mask as coco_mask

from vclr.coco.annotations import Json, to_rle
from vclr.files import write_json
from vclr.pre_annotations.photo import FoundPhoto, Naming


def write(photos: list[FoundPhoto], folder: Path, naming: Naming) -> None:
    """Write `annotations.json`. Masks are RLE if no single polygon shows them."""
    write_json(folder / "annotations.json", as_coco(photos, naming, lambda photo: photo.file_name))


def as_coco(photos: list[FoundPhoto], naming: Naming, name: Callable[[FoundPhoto], str]) -> Json:
    """Return a COCO json with an extra key `score`; `name` gives the `file_name` of a photo."""
    images: list[Json] = []
    annotations: list[Json] = []
    for number, photo in enumerate(photos, start=1):
        images.append({"id": number, "file_name": name(photo), "height": photo.height, "width": photo.width})
        for one in photo.objects:
            owner = {"id": len(annotations) + 1, "image_id": number, "category_id": 1, "iscrowd": 0}
            rle = to_rle(one.segmentation, photo.height, photo.width)
            shape = {"bbox": coco_mask.toBbox(rle).tolist(), "area": int(coco_mask.area(rle))}
            annotations.append({**owner, **shape, "segmentation": one.segmentation, "score": one.score})
    categories = [{"id": 1, "name": naming.label, "supercategory": ""}]
    return {
        "info": {"description": "vclr predict"},
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }
