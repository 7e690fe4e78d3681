"""Convert Label Studio's exports (JSON, JSON-MIN, COCO) to one COCO json."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
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
from vclr.generate.importers.grouped import Grouped, is_around
from vclr.generate.importers.number import to_number
from vclr.generate.importers.shapes import ellipse, rectangle, rotate
from vclr.pictures import IMAGE_SUFFIXES
from vclr.progress import track

COCO = "result.json"  # the json in the zip that Label Studio calls COCO
SEVERAL = "tasks with several annotations, of which the newest is read"
PREDICTED = "tasks without an annotation whose newest prediction is read"
NOT_DONE = "tasks without an annotation, or skipped, left out"
NO_LABEL = "regions without a label, left out"
SEVERAL_LABELS = "regions with several labels, of which the first is read"
PICTURES = "masks of the tag BitMask (imageDataURL), which are not read, left out; export brushes or polygons"
NO_AREA = "regions without an area, left out"


def import_labelstudio(
    source: Path, output: Path, images: Path | None = None, keep_crowds: bool = False, quiet: bool = False
) -> str:
    """Write a COCO json of an export as JSON, JSON-MIN or COCO.

    An uploaded photo `1a2b3c4d-photo.jpg` is also found as `photo.jpg`. Of each task, the newest annotation that was
    not skipped is read, or else the newest prediction.

    Args:
        source: the json, or the folder of the COCO export.
        output: the json to write.
        images: the folder of the photos, by default the one of the json.
        keep_crowds: crowds of a COCO json stay crowds.
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
        return collector.write(output, read_coco_export(file, collector, keep_crowds, all_brushes=True, rename=rename))
    tasks = [content] if isinstance(content, dict) else content
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise UserError(f"{file}: is not a list of tasks; export the project as JSON, JSON-MIN or COCO")
    named = [(task, f"{file}: task {task.get('id', number)}") for number, task in enumerate(tasks)]
    for task, entry in track(_leave_out_older(named, collector), "reading Label Studio", quiet):
        _read_task(task, entry, collector)
    return collector.write(output)


def _leave_out_older(tasks: list[tuple[Json, str]], collector: Collector) -> list[tuple[Json, str]]:
    """Return the tasks with what messages call them; of JSON-MIN, which repeats a task per annotation, the newest."""
    groups: dict[object, list[tuple[Json, str]]] = {}
    for number, (task, entry) in enumerate(tasks):
        is_row = "id" in task and not _is_whole(task)
        key = (str(task["id"]), _photo_of(task, entry)) if is_row else number
        groups.setdefault(key, []).append((task, entry))
    found = []
    for rows in groups.values():
        if len(rows) > 1:
            collector.notes.add(SEVERAL, rows[0][1])
        found.append((_newest([task for task, _ in rows]), rows[0][1]))
    return found


def _is_whole(task: Json) -> bool:
    """Tell whether a task is one of JSON and not of JSON-MIN."""
    return isinstance(task.get("data"), dict)


def _newest(annotations: list[Json]) -> Json:
    """Return the annotation that was changed last, or else the last one."""
    return max(
        enumerate(annotations),
        key=lambda item: (str(item[1].get("updated_at") or item[1].get("created_at") or ""), item[0]),
    )[1]


def _read_task(task: Json, entry: str, collector: Collector) -> None:
    is_whole = _is_whole(task)
    regions = _choose(task, entry, collector) if is_whole else _regions_of_min(task)
    if regions is None:
        collector.notes.add(NOT_DONE, entry)
        return
    named = _photo_of(task["data"] if is_whole else task, entry)
    if not all(isinstance(region, dict) for region in regions):
        raise UserError(f"{entry}: a region is not an object")
    sizes = {(region.get("original_width"), region["original_height"]) for region in regions if _has_size(region)}
    if len(sizes) > 1:
        raise UserError(f"{entry}: its regions have different values of original_width and original_height")
    photo = collector.open(named, entry, next(iter(sizes), None), without_upload_hash)
    labeled = {str(region["id"]) for region in regions if "id" in region and _labels_of(_value_of(region))}
    usable = []
    for number, region in enumerate(regions):
        place = f"{entry}: region {region.get('id', number)}"
        value = _value_of(region)
        labels = _labels_of(value)
        if not labels:  # with <Labels> beside <Rectangle>, a second entry of the same id has the label
            if _is_shape(value) and str(region.get("id")) not in labeled:
                collector.notes.add(NO_LABEL, place)
            continue
        if region.get("image_rotation"):
            raise UserError(f"{place}: the photo was rotated in Label Studio; rotate it back there and export again")
        if len(labels) > 1:
            collector.notes.add(SEVERAL_LABELS, place)
        usable.append(_Region(labels[0], value, place))
    grouped = Grouped(photo)
    for region, group in zip(usable, _find_groups(usable, photo), strict=True):
        with _naming(region.entry):
            _add_region(region, group, grouped, photo)
    grouped.finish()


def _has_size(region: Json) -> bool:
    """Tell whether a region says the size of its photo."""
    return all(isinstance(region.get(key), int) for key in ("original_width", "original_height"))


class _Region(NamedTuple):
    """A labeled region: its label, what describes it, and what messages call it."""

    label: str
    value: Json
    entry: str


@contextmanager
def _naming(entry: str) -> Iterator[None]:
    """Name the region in errors of its values."""
    try:
        yield
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        says = f"has no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{entry}: {says}") from None


def _find_groups(regions: list[_Region], photo: OpenPhoto) -> list[str | None]:
    """Return the group of each region: a rectangle and the outlines right after it, if it is the box around them.

    The converter of Label Studio's own SDK writes the objects of a COCO json like this.
    """
    groups: list[str | None] = [None] * len(regions)
    for start, region in enumerate(regions):
        with _naming(region.entry):
            if not _is_upright_rectangle(region.value):
                continue
            end = start + 1
            while end < len(regions) and regions[end].label == region.label and "points" in regions[end].value:
                end += 1
            outlines = [_outline_of(other.value, photo) for other in regions[start + 1 : end]]
            if is_around(_corners_of(region.value, photo), outlines):
                groups[start:end] = [str(start)] * (end - start)
    return groups


def _choose(task: Json, entry: str, collector: Collector) -> list[Any] | None:
    """Return the regions of the newest annotation, or prediction; None if there is neither."""
    annotations = task.get("annotations", task.get("completions")) or []  # completions: before version 1.0
    predicted = task.get("predictions") or []
    if not isinstance(annotations, list) or not isinstance(predicted, list):
        raise UserError(f"{entry}: its annotations or predictions are not a list")
    done = [one for one in annotations if isinstance(one, dict) and not one.get("was_cancelled")]
    predictions = [one for one in predicted if isinstance(one, dict)]
    if len(done) > 1:
        collector.notes.add(SEVERAL, entry)
    if not done and predictions and not annotations:
        collector.notes.add(PREDICTED, entry)
        done = predictions
    if not done:
        return None
    regions = _newest(done).get("result")
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
    return any(key in value for key in ("rle", "points", "radiusX", "width", "imageDataURL"))


def _is_upright_rectangle(value: Json) -> bool:
    return (
        not {"rle", "points", "radiusX"} & value.keys() and {"width", "height"} <= value.keys() and not _turned(value)
    )


def _turned(value: Json) -> float:
    """Return by how many degrees a region is turned, clockwise."""
    return to_number(value.get("rotation") or 0, "rotation") % 360


def _add_region(region: _Region, group: str | None, grouped: Grouped, photo: OpenPhoto) -> None:
    label, value, entry = region
    if "rle" in value:
        grouped.mask(label, decode_brush(value["rle"], photo.height, photo.width), entry, group)
    elif "points" in value:
        grouped.polygon(label, _outline_of(value, photo), entry, group)
    elif "radiusX" in value:
        x, y = _pair(value, "x", "y", photo)
        outline = ellipse(x, y, *_pair(value, "radiusX", "radiusY", photo))
        grouped.polygon(label, rotate(outline, (x, y), _turned(value)), entry, group)
    elif _is_upright_rectangle(value):
        grouped.box(label, _corners_of(value, photo), entry, group)
    elif "width" in value and "height" in value:
        left, top, right, bottom = _corners_of(value, photo)
        outline = rotate(rectangle(left, top, right, bottom), (left, top), _turned(value))  # around its first corner
        grouped.polygon(label, outline, entry, group)
    else:
        photo.note(PICTURES if "imageDataURL" in value else NO_AREA, entry)


def _outline_of(value: Json, photo: OpenPhoto) -> np.ndarray:
    """Return the (n, 2) points of a polygon in pixels."""
    points = value["points"]
    if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points):
        raise ValueError("its points are not pairs of numbers")
    outline = np.array([[to_number(side, "points") for side in point] for point in points])
    return outline.reshape(-1, 2) * (photo.width / 100, photo.height / 100)


def _corners_of(value: Json, photo: OpenPhoto) -> tuple[float, float, float, float]:
    """Return (left, top, right, bottom) of a rectangle in pixels."""
    left, top = _pair(value, "x", "y", photo)
    width, height = _pair(value, "width", "height", photo)
    return left, top, left + width, top + height


def _pair(value: Json, first: str, second: str, photo: OpenPhoto) -> tuple[float, float]:
    """Return two percentages of the photo's sides in pixels."""
    x, y = (to_number(value[key], key) for key in (first, second))
    return x * photo.width / 100, y * photo.height / 100
