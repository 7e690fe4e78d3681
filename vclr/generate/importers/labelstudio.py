"""Convert Label Studio's exports (JSON, JSON-MIN, COCO) to one COCO json."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from vclr.coco.annotations import Json
from vclr.coco.habits import without_upload_hash
from vclr.errors import UserError
from vclr.file_names import say_nearest
from vclr.files import read_json
from vclr.generate.importers.brush import decode_brush
from vclr.generate.importers.coco import rename
from vclr.generate.importers.coco_export import read_coco_export
from vclr.generate.importers.collect import Collector, OpenPhoto
from vclr.generate.importers.shapes import ellipse, rectangle, rotate
from vclr.pictures import IMAGE_SUFFIXES
from vclr.progress import track

COCO = "result.json"  # the json in the zip that Label Studio calls COCO
SEVERAL = "tasks with several annotations, of which the newest is read"
PREDICTED = "tasks without an annotation whose newest prediction is read"
NOT_DONE = "tasks without an annotation, or skipped, left out"
NO_LABEL = "regions without a label, left out"
SEVERAL_LABELS = "regions with several labels, of which the first is read"
NO_AREA = "regions without an area, left out"


def import_labelstudio(source: Path, output: Path, images: Path | None = None, quiet: bool = False) -> str:
    """Write a COCO json of an export as JSON, JSON-MIN or COCO.

    An uploaded photo `1a2b3c4d-photo.jpg` is also found as `photo.jpg`. Of each task, the newest annotation that was
    not skipped is read, or else the newest prediction.

    Args:
        source: the json, or the folder of the COCO export.
        output: the json to write.
        images: the folder of the photos, by default the one of the json.
        quiet: show no progress.

    Returns:
        The content of the json, in words.

    Raises:
        UserError: one line that names the file and the bad region.
    """
    file = source / COCO if source.is_dir() else source
    if not file.is_file():
        raise UserError(f"{file}: does not exist{say_nearest(file)}")
    collector = Collector(file, images or file.parent)
    content = read_json(file)
    if isinstance(content, dict) and isinstance(content.get("annotations"), list) and "images" in content:
        return collector.write(output, read_coco_export(file, collector, all_brushes=True, rename=rename))
    tasks = [content] if isinstance(content, dict) else content
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise UserError(f"{file}: is not a list of tasks; export the project as JSON, JSON-MIN or COCO")
    for number, task in enumerate(track(tasks, "reading Label Studio", quiet)):
        _read_task(task, f"{file}: task {task.get('id', number)}", collector)
    return collector.write(output)


def _read_task(task: Json, entry: str, collector: Collector) -> None:
    is_whole = isinstance(task.get("data"), dict)
    regions = _choose(task, entry, collector) if is_whole else _regions_of_min(task)
    if regions is None:
        collector.notes.add(NOT_DONE, entry)
        return
    named = _photo_of(task["data"] if is_whole else task, entry)
    if not all(isinstance(region, dict) for region in regions):
        raise UserError(f"{entry}: a region is not an object")
    sizes = {(region["original_width"], region["original_height"]) for region in regions if "original_height" in region}
    if len(sizes) > 1:
        raise UserError(f"{entry}: its regions have different values of original_width and original_height")
    photo = collector.open(named, entry, next(iter(sizes), None), without_upload_hash)
    labeled = {region.get("id") for region in regions if _labels_of(_value_of(region))}
    for number, region in enumerate(regions):
        place = f"{entry}: region {region.get('id', number)}"
        value = _value_of(region)
        labels = _labels_of(value)
        if not labels:  # with <Labels> beside <Rectangle>, a second entry of the same id has the label
            if _is_shape(value) and region.get("id") not in labeled - {None}:
                collector.notes.add(NO_LABEL, place)
            continue
        if region.get("image_rotation"):
            raise UserError(f"{place}: the photo was rotated in Label Studio; rotate it back there and export again")
        if len(labels) > 1:
            collector.notes.add(SEVERAL_LABELS, place)
        try:
            _add_region(labels[0], value, photo, place, collector)
        except (TypeError, ValueError, KeyError) as error:
            says = f"has no {error}" if isinstance(error, KeyError) else error
            raise UserError(f"{place}: {says}") from None


def _choose(task: Json, entry: str, collector: Collector) -> list[Any] | None:
    """Return the regions of the newest annotation, or prediction; None if there is neither."""
    annotations = task.get("annotations", task.get("completions")) or []  # completions: before version 1.0
    done = [one for one in annotations if isinstance(one, dict) and not one.get("was_cancelled")]
    predictions = [one for one in task.get("predictions") or [] if isinstance(one, dict)]
    if len(done) > 1:
        collector.notes.add(SEVERAL, entry)
    if not done and predictions and not annotations:
        collector.notes.add(PREDICTED, entry)
        done = predictions
    if not done:
        return None
    newest = max(
        enumerate(done), key=lambda item: (str(item[1].get("updated_at") or item[1].get("created_at") or ""), item[0])
    )
    regions = newest[1].get("result")
    if not isinstance(regions, list):
        raise UserError(f"{entry}: an annotation has no list `result`")
    return regions


def _regions_of_min(task: Json) -> list[Any] | None:
    """Return the regions of a task of JSON-MIN, which lie in lists called as the labels' tags in the configuration."""
    lists = [value for value in task.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    return [region for regions in lists for region in regions]


def _photo_of(data: Json, entry: str) -> str:
    """Return the path of a task's photo: the text in its data that is the address of an image."""
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    paths = {key: _path_of(value) for key, value in texts.items()}
    found = [path for key, path in paths.items() if path.lower().endswith(IMAGE_SUFFIXES)]
    if "image" in paths:
        return paths["image"]
    if len(found) != 1:
        raise UserError(
            f"{entry}: {'none' if not found else 'several'} of its data ({', '.join(data)}) is a photo's address"
        )
    return found[0]


def _path_of(address: str) -> str:
    """Return the path in an address: `/data/local-files/?d=PATH`, `/data/upload/1/NAME`, https://..., or a path."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    local = parse_qs(parts.query).get("d")
    if local:
        return local[0]
    return unquote(parts.path) if parts.scheme in ("http", "https", "s3", "gs", "azure-blob", "") else address


def _value_of(region: Json) -> Json:
    """Return what describes a region: its `value`, or in JSON-MIN the region itself."""
    value = region.get("value", region)
    return value if isinstance(value, dict) else {}


def _labels_of(value: Json) -> list[str]:
    """Return the labels of a region, in the list called after its tag: polygonlabels, brushlabels, labels ..."""
    for key, labels in value.items():
        if key.endswith("labels") and isinstance(labels, list) and labels:
            return [str(label) for label in labels]
    return []


def _is_shape(value: Json) -> bool:
    return any(key in value for key in ("rle", "points", "radiusX", "width"))


def _add_region(label: str, value: Json, photo: OpenPhoto, entry: str, collector: Collector) -> None:
    """Add a region, whose coordinates are percentages of the photo's sides."""
    sides = np.array([photo.width, photo.height]) / 100
    if "rle" in value:
        photo.add_mask(label, decode_brush(value["rle"], photo.height, photo.width), entry)
    elif "points" in value:
        points = np.array(value["points"], dtype=float)
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError("its points are not pairs of numbers")
        photo.add_polygons(label, [points * sides], entry)
    elif "radiusX" in value:
        (x, y), (radius_x, radius_y) = _pair(value, "x", "y") * sides, _pair(value, "radiusX", "radiusY") * sides
        outline = ellipse(x, y, radius_x, radius_y)
        photo.add_polygons(label, [rotate(outline, (x, y), float(value.get("rotation") or 0))], entry)
    elif "width" in value and "height" in value:
        left, top = _pair(value, "x", "y") * sides
        right, bottom = (left, top) + _pair(value, "width", "height") * sides
        turned = float(value.get("rotation") or 0)
        if turned % 360:  # around its first corner
            photo.add_polygons(label, [rotate(rectangle(left, top, right, bottom), (left, top), turned)], entry)
        else:
            photo.add_box(label, (left, top, right, bottom), entry)
    else:
        collector.notes.add(NO_AREA, entry)


def _pair(value: Json, first: str, second: str) -> np.ndarray:
    return np.array([float(value[first]), float(value[second])])
