"""A folder of labelme's json files, one a photo, becomes one COCO json."""

from __future__ import annotations

import base64
import binascii
import io
import logging
import math
import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from vclr.coco.annotations import Json, encode_mask, to_mask
from vclr.coco.checks import check_segmentation
from vclr.errors import UserError, describe_missing
from vclr.files import atomic_path, link_file, read_image_header, read_json
from vclr.generate.importers.photos import Photo, count_pixels, write_photos
from vclr.progress import track

log = logging.getLogger("vclr.generate")

OUTLINES = ("polygon", "oriented_rectangle", "rotation")  # of labelme and of what descends from it
WITHOUT_AREA = ("line", "linestrip", "point", "points")


def import_labelme(folder: Path, output: Path, images: Path | None = None, quiet: bool = False) -> str:
    """Write a COCO json of all labelme files in a folder and below it.

    Shapes of one label and one `group_id` are one object. Polygons, rectangles and circles become polygons; an object
    with a mask becomes run lengths. Lines and points, and what covers no pixel, are left out with a warning.

    Args:
        folder: of the json files.
        output: the json to write.
        images: the folder of the photos, by default `folder`. A photo that lies elsewhere gets a second name in it
            (where the file system has none, a copy), and one that is only in its json file is written there.
        quiet: show no progress.

    Returns:
        What the json holds, in words.

    Raises:
        UserError: in one line, the file and the shape at fault.
    """
    if not folder.is_dir():
        raise UserError(describe_missing(folder, "no such folder"))
    importer = _Importer(folder, images)
    sources = sorted(path for path in folder.rglob("*.json") if path.resolve() != output.resolve())
    return write_photos(output, [importer.read(source) for source in track(sources, "reading labelme", quiet)])


class _Importer:
    """Read labelme files one after another, and see that each has a photo of its own."""

    def __init__(self, folder: Path, images: Path | None) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.images = Path(os.path.abspath(images)) if images is not None else self.folder
        self.writes = images is not None
        self.sources: dict[str, Path] = {}

    def read(self, source: Path) -> Photo:
        content = read_json(source)
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            raise UserError(f"{source}: is not a labelme json (needs the list `shapes`)")
        photo = self._find_photo(source, content)
        file_name = photo.relative_to(self.images).as_posix()
        if file_name in self.sources:
            raise UserError(f"{source}: its photo {file_name} is annotated in {self.sources[file_name]} too")
        self.sources[file_name] = source
        header = read_image_header(photo)
        for key, side in (("imageHeight", header.height), ("imageWidth", header.width)):
            if content.get(key) not in (None, side):
                says = f"its photo {file_name} is {header.width}x{header.height} px"
                raise UserError(f"{source}: {key} is {content[key]!r}, but {says}")
        objects = _read_objects(content["shapes"], header.height, header.width, source)
        return Photo(file_name, header.height, header.width, objects)

    def _find_photo(self, source: Path, content: Json) -> Path:
        """Return where a photo is in the folder of the photos, and bring it there if need be."""
        named = content.get("imagePath")
        if not isinstance(named, str) or not PurePosixPath(named.replace("\\", "/")).name:
            raise UserError(f"{source}: imagePath is {named!r}, not the name of a photo")
        named = re.sub(r"^[A-Za-z]:.*/", "", named.replace("\\", "/"))  # of a path on another machine, the name
        path = Path(os.path.abspath(source.parent / named))
        below = path.relative_to(self.folder) if path.is_relative_to(self.folder) else Path(path.name)
        target = self.images / below
        places = target, path, Path(os.path.abspath(source)).with_name(path.name)
        elsewhere = next((place for place in places if place.is_file()), None)
        if elsewhere is not None and elsewhere.is_relative_to(self.images):
            return elsewhere
        if elsewhere is None and not content.get("imageData"):
            raise UserError(f"{source}: its photo {named} does not exist, and the file does not hold it")
        if not self.writes:
            where = "is only in the json" if elsewhere is None else f"is not in {self.folder}"
            raise UserError(f"{source}: its photo {named} {where}: name a folder to put it in (--images)")
        if elsewhere is None:
            _write_embedded(content["imageData"], target, source)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            link_file(elsewhere, target)
        return target


def _write_embedded(data: Any, target: Path, source: Path) -> None:
    try:
        photo = base64.b64decode(data)
    except (binascii.Error, TypeError, ValueError):
        raise UserError(f"{source}: imageData is not an image in base64") from None
    with atomic_path(target) as partial:
        partial.write_bytes(photo)
        try:
            read_image_header(partial)
        except UserError:
            raise UserError(f"{source}: imageData is not an image in base64") from None


@dataclass
class _Object:
    """An object of one shape or several."""

    label: str
    entry: str  # what messages call its first shape
    polygons: list[list[float]]
    masks: list[np.ndarray]

    def segmentation(self, height: int, width: int) -> Any:
        """Return polygons, or run lengths where one of the shapes was a mask."""
        if not self.masks:
            return self.polygons
        drawn = [to_mask(self.polygons, height, width)] if self.polygons else []
        return encode_mask(np.maximum.reduce([*self.masks, *drawn]))


def _read_objects(shapes: list[Any], height: int, width: int, source: Path) -> list[tuple[str, Any]]:
    objects: dict[Any, _Object] = {}
    for number, shape in enumerate(shapes):
        entry = f"{source}: shapes[{number}]"
        if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
            raise UserError(f"{entry}: has no label")
        label, kind = shape["label"], shape.get("shape_type") or "polygon"
        entry += f" ({label})"
        if kind in WITHOUT_AREA:
            log.warning("%s: a %s has no area: left out", entry, kind)
            continue
        group = shape.get("group_id")
        key = (label, str(group)) if group is not None else number
        one = objects.setdefault(key, _Object(label, entry, [], []))
        if kind == "mask":
            one.masks.append(_read_mask(shape, height, width, entry))
        else:
            one.polygons.append(_outline(kind, _read_points(shape, entry), entry))
    found = []
    for one in objects.values():
        if one.polygons:
            check_segmentation(one.polygons, height, width, one.entry)
        segmentation = one.segmentation(height, width)
        if count_pixels(segmentation, height, width):
            found.append((one.label, segmentation))
        else:
            log.warning("%s: covers no pixel of the photo: left out", one.entry)
    return found


def _read_points(shape: Json, entry: str) -> list[tuple[float, float]]:
    points = shape.get("points")
    pairs = isinstance(points, list) and all(isinstance(point, list) and len(point) == 2 for point in points)
    if not pairs or not all(isinstance(value, (int, float)) and math.isfinite(value) for xy in points for value in xy):  # type: ignore[union-attr]
        raise UserError(f"{entry}: `points` is not a list of [x, y]")
    return [(point[0], point[1]) for point in points]  # type: ignore[union-attr]


def _outline(kind: str, points: list[tuple[float, float]], entry: str) -> list[float]:
    """Return a shape as a polygon, [x, y, x, y, ...]."""
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    elif kind == "circle":
        points = _circle(points, entry)
    elif kind not in OUTLINES and not (kind == "rectangle" and len(points) == 4):
        raise UserError(f"{entry}: a {kind} of {len(points)} points is not a shape that can be imported")
    if len(points) < 3:
        raise UserError(f"{entry}: a {kind} of {len(points)} points, needs at least 3")
    return [float(value) for point in points for value in point]


def _circle(points: list[tuple[float, float]], entry: str) -> list[tuple[float, float]]:
    if len(points) != 2:
        raise UserError(f"{entry}: a circle of {len(points)} points, needs its center and one on its line")
    (x, y), edge = points
    radius = math.dist((x, y), edge)
    count = max(12, math.ceil(7 * math.sqrt(radius)))  # within a tenth of a pixel
    angles = [2 * math.pi * step / count for step in range(count)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def _read_mask(shape: Json, height: int, width: int, entry: str) -> np.ndarray:
    """Return a mask (h, w) uint8 whose picture lies at the shape's first point."""
    points = _read_points(shape, entry)
    try:
        with Image.open(io.BytesIO(base64.b64decode(shape.get("mask") or ""))) as image:
            picture = (np.asarray(image.convert("L")) > 0).astype(np.uint8)
    except (OSError, SyntaxError, ValueError, TypeError):
        raise UserError(f"{entry}: `mask` is not an image in base64") from None
    left, top = (int(value) for value in points[0]) if points else (0, 0)
    if left < 0 or top < 0 or top + picture.shape[0] > height or left + picture.shape[1] > width:
        raise UserError(f"{entry}: its mask reaches beyond the photo of {width}x{height} px")
    mask = np.zeros((height, width), np.uint8)
    mask[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return mask
