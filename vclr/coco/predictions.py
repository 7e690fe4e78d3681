"""Read predictions for the images of a data set: COCO results, or a COCO json whose annotations have scores."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from vclr.coco.annotations import to_rle
from vclr.coco.checks import CocoChecks, Json, check_box, check_segmentation, say_twin
from vclr.coco.same_images import match_images
from vclr.coco.units import Units
from vclr.errors import UserError
from vclr.files import read_json

log = logging.getLogger("vclr.coco")

ELSEWHERE = object()  # stands for a prediction for an image that is not in the data set


def read_predictions(path: str | Path, images: list[Json], annotations: str | Path) -> list[Json]:
    """Read and check a file of predictions.

    COCO results use the image ids of the data set. A COCO json with its own `images` also has its own ids: its images
    are matched by file name, and predictions for images outside of the data set are ignored.

    Args:
        path: the file.
        images: `images` of the data set.
        annotations: the name of the data set in errors.

    Returns:
        As `check_predictions`.

    Raises:
        UserError: the file or one of its entries is not valid, or none of its images is in the data set.
    """
    content, source, units = read_json(path), str(path), Units()
    if isinstance(content, dict):
        if not isinstance(content.get("annotations"), list):
            raise UserError(f"{path}: is neither a list of COCO results nor a COCO json with scores")
        source += ": annotations"
        has_images = isinstance(content.get("images"), list)
        content = list(_renumber(content, path, images, annotations)) if has_images else content["annotations"]
    found = check_predictions(content, images, source, units)
    if says := units.say_shares():
        raise UserError(f"{path}: {says}")
    return found


def check_predictions(entries: Any, images: list[Json], source: str, units: Units | None = None) -> list[Json]:
    """Check predictions for the images of a data set.

    Args:
        entries: each with `image_id`, `score`, `bbox` (xywh absolute) or `segmentation`, and optionally `category_id`.
        images: `images` of the data set.
        source: the name of the predictions in errors.
        units: collects evidence from all boxes and polygons.

    Returns:
        The `image_id`, `category_id`, `score`, `bbox` and `segmentation` (None if missing) of each.

    Raises:
        UserError: it is not a list, an entry is not valid, or only some entries have a segmentation.
    """
    if not isinstance(entries, list):
        raise UserError(f"{source}: is not a list of COCO results")
    separator = "" if source.endswith(": annotations") else ": "
    sizes = {image["id"]: (image["height"], image["width"]) for image in images}
    checked, without_masks = [], []
    for position, prediction in enumerate(entries):
        if prediction is ELSEWHERE:
            continue
        entry = f"{source}{separator}[{position}]"
        found = _check(prediction, sizes, entry)
        if units is not None and units.are_open:
            units.add(found, sizes[found["image_id"]])
        if found["segmentation"] is None:
            without_masks.append(entry)
        checked.append(found)
    if 0 < len(without_masks) < len(checked):
        raise UserError(f"{without_masks[0]}: has no `segmentation`, though other predictions have one")
    return checked


def _renumber(content: Json, path: str | Path, images: list[Json], annotations: str | Path) -> Iterator[Any]:
    """Yield the annotations of a json with the image ids of the data set, or ELSEWHERE for other images."""
    checks = CocoChecks(path, [])
    for position, image in enumerate(content["images"]):
        checks.check_image(position, image)
    same = match_images(content["images"], path, images, annotations)
    if same.num_others:
        log.warning("%s: %d images are not in %s; they are ignored", path, same.num_others, annotations)
    for position, prediction in enumerate(content["annotations"]):
        image_id = prediction.get("image_id") if isinstance(prediction, dict) else None
        if not isinstance(image_id, (int, str)) or image_id not in checks.sizes:
            twin = say_twin(image_id, checks.sizes) if isinstance(image_id, (int, str)) else ""
            raise UserError(f"{path}: annotations[{position}]: image {image_id!r} is not in `images`{twin}")
        places = same.positions.get(image_id, [])
        if len(places) > 1:
            names = " and ".join(f"images[{place}]" for place in places[:2])
            file_name = images[places[0]]["file_name"]
            raise UserError(f"{annotations}: {names} are both {file_name}, so predictions of {path} are ambiguous")
        yield {**prediction, "image_id": images[places[0]]["id"]} if places else ELSEWHERE


def _check(prediction: Any, sizes: dict[Any, tuple[int, int]], entry: str) -> Json:
    if not isinstance(prediction, dict):
        raise UserError(f"{entry}: is not an object")
    image_id, value = prediction.get("image_id"), prediction.get("score")
    if not isinstance(image_id, (int, str)) or isinstance(image_id, bool):
        raise UserError(f"{entry}: image_id {image_id!r} is not an image of the ground truth")
    if image_id not in sizes:
        says = f"{image_id!r} is not an image of the ground truth{say_twin(image_id, sizes)}"
        raise UserError(f"{entry}: image_id {says}")
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise UserError(f"{entry}: score {value!r} is not a finite number")
    box, segmentation = prediction.get("bbox"), prediction.get("segmentation")
    if segmentation == []:
        segmentation = None  # data sets of boxes write it like this
    if segmentation is not None:
        check_segmentation(segmentation, *sizes[image_id], entry)
    elif box is None:
        raise UserError(f"{entry}: has no `bbox`")
    if box is None:
        box = coco_mask.toBbox(to_rle(segmentation, *sizes[image_id])).tolist()
    if not isinstance(box, list):
        raise UserError(f"{entry}: bbox {box!r} is not [x, y, width, height]")
    check_box(box, entry)
    category = prediction.get("category_id", 1)
    if not isinstance(category, int):
        raise UserError(f"{entry}: category_id {category!r} is not an integer")
    kept = {"image_id": image_id, "category_id": category, "score": value, "bbox": box}
    return {**kept, "segmentation": segmentation}
