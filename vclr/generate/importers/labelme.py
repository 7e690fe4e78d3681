"""Convert a folder of labelme json files, one per photo, to one COCO json."""

from __future__ import annotations

import base64
import binascii
import logging
import math
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from vclr.coco.annotations import Json, encode_mask
from vclr.coco.checks import check_segmentation
from vclr.coco.unusable import Dropped, Verdict, short_polygon
from vclr.errors import UserError
from vclr.file_names import list_files, say_nearest
from vclr.files import atomic_path, link_file, read_json
from vclr.generate.importers.photos import Photo, count_pixels, unite, write_photos
from vclr.pictures import IMAGE_SUFFIXES, read_image_header, read_numbers
from vclr.progress import track

log = logging.getLogger("vclr.generate")

OUTLINES = ("polygon", "oriented_rectangle", "rotation")  # of labelme and its descendants
MAX_RADIUS = 1e6  # pixels; wider than any photo
WITHOUT_AREA = ("line", "linestrip", "point", "points")


def import_labelme(folder: Path, output: Path, images: Path | None = None, quiet: bool = False) -> str:
    """Write a COCO json of all labelme files in a folder and its subfolders.

    Shapes of one label and one `group_id` are one object. Polygons, rectangles and circles become polygons; an object
    with a mask becomes RLE. Lines, points, and objects that cover no pixel are left out with a warning; so are polygons
    under three points, which are counted in one.

    Args:
        folder: folder of the json files.
        output: the json to write.
        images: the folder of the photos, by default `folder`. A photo that lies elsewhere is linked into it, or
            copied if the file system has no links, and a photo that is only in its json file is written there, once
            all files have been read without an error. Nothing outside the two folders is read.
        quiet: show no progress.

    Returns:
        The content of the json, in words.

    Raises:
        UserError: one line that names the file and the bad shape.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder{say_nearest(folder)}")
    importer = _Importer(folder, images)
    sources = [path for path in list_files(folder.rglob("*.json")) if path.resolve() != output.resolve()]
    photos = [importer.read(source) for source in track(sources, "reading labelme", quiet)]
    importer.dropped.warn(folder, importer.num_shapes)
    importer.copy_photos()
    return write_photos(output, photos)


class _Copy(NamedTuple):
    """A photo to copy into the folder of the photos."""

    source: Path  # the json file
    found: Path | None  # None: the photo is only inside the json file
    target: Path


class _Importer:
    """Read labelme files one after another and check that each has a photo of its own.

    The files are not trusted: no photo is looked for, read or copied outside the folders of json files and photos.
    """

    def __init__(self, folder: Path, images: Path | None) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.images = Path(os.path.abspath(images)) if images is not None else self.folder
        self.writes = images is not None
        self.sources: dict[str, Path] = {}
        self.copies: list[_Copy] = []
        self.num_links = 0
        self.num_shapes = 0
        self.dropped = Dropped(what="shapes")

    def read(self, source: Path) -> Photo:
        if not _is_below(source, self.folder):
            raise UserError(f"{source}: is a link to a file outside of {self.folder}; copy the file into the folder")
        content = read_json(source)
        if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
            raise UserError(f"{source}: is not a labelme json (needs the list `shapes`)")
        found, target = self._find_photo(source, content)
        file_name = target.relative_to(self.images).as_posix()
        if file_name in self.sources:
            raise UserError(f"{source}: its photo {file_name} is also annotated in {self.sources[file_name]}")
        self.sources[file_name] = source
        if found is not None:
            header = read_image_header(found)  # only images are copied
        else:
            header = read_image_header(source, _embedded(content, source))
        for key, side in (("imageHeight", header.height), ("imageWidth", header.width)):
            if content.get(key) not in (None, side):
                turned = " turned upright by its EXIF data" if header.is_turned else ""
                says = f"its photo {file_name} is {header.width}x{header.height} px{turned}"
                raise UserError(f"{source}: {key} is {content[key]!r}, but {says}")
        self.num_shapes += len(content["shapes"])
        objects = _read_objects(content["shapes"], header.height, header.width, source, self.dropped)
        if found != target:
            self.copies.append(_Copy(source, found, target))
        return Photo(file_name, header.height, header.width, objects)

    def copy_photos(self) -> None:
        """Link each photo into the folder of the photos, or write it there from its json file."""
        for source, found, target in self.copies:
            with atomic_path(target) as partial:
                if found is not None:
                    link_file(found, partial)
                else:  # read again, because all photos together may not fit into memory
                    partial.write_bytes(_embedded(read_json(source), source))

    def _find_photo(self, source: Path, content: Json) -> tuple[Path | None, Path]:
        """Return where a photo is (None: only in the json) and where in the folder of the photos it belongs."""
        named = content.get("imagePath")
        if not isinstance(named, str) or "\0" in named or not PurePosixPath(named.replace("\\", "/")).name:
            raise UserError(f"{source}: imagePath is {named!r}, not the name of a photo")
        named = re.sub(r"^[A-Za-z]:.*/", "", named.replace("\\", "/"))  # of a path on Windows, only the name
        path = Path(os.path.abspath(source.parent / named))
        below = path.relative_to(self.folder) if path.is_relative_to(self.folder) else Path(path.name)
        target = self.images / below
        inside = [path] if path.is_relative_to(self.folder) or path.is_relative_to(self.images) else []
        places = target, *inside, Path(os.path.abspath(source)).with_name(path.name)
        found = next((place for place in places if os.path.isfile(place)), None)
        if found is not None:
            self._check_link(source, found)
            if found.is_relative_to(self.images):
                return found, found
        elif not content.get("imageData"):
            if not inside:
                fix = "move the photo next to the json, or give its folder with --images"
                raise UserError(f"{source}: its photo {named} is outside of {self.folder}; {fix}")
            raise UserError(f"{source}: its photo {named} does not exist, and is not embedded in the json")
        if not self.writes:
            where = "is only in the json" if found is None else f"is not in {self.folder}"
            raise UserError(f"{source}: its photo {named} {where}; give a folder to copy it to with --images")
        self._check_target(source, target)
        return found, target

    def _check_link(self, source: Path, photo: Path) -> None:
        """Refuse a photo that is a link out of the folders; warn if it is in the folder that the user named."""
        if _is_below(photo, self.folder) or _is_below(photo, self.images):
            return
        if not (self.writes and photo.is_relative_to(self.images)):
            target = os.path.realpath(photo)
            raise UserError(
                f"{source}: its photo {photo} is a link to {target}, outside of {self.folder}; copy it into the folder"
            )
        if not self.num_links:
            log.warning("%s: is a link to a file outside of %s; such links are followed", photo, self.images)
        self.num_links += 1

    def _check_target(self, source: Path, target: Path) -> None:
        """Refuse to write a file that is not named as an image, or through a link out of the folder of the photos."""
        if target.suffix.lower() not in IMAGE_SUFFIXES:
            raise UserError(f"{source}: its photo {target.name} has no image suffix ({', '.join(IMAGE_SUFFIXES)})")
        if not _is_below(target.parent, self.images):
            raise UserError(f"{source}: {target.parent} is a link out of {self.images}; nothing is written there")


def _is_below(path: Path, folder: Path) -> bool:
    """Tell whether a file is in a folder or its subfolders after all links are resolved."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _embedded(content: Json, source: Path) -> bytes:
    """Return the photo that is embedded in a json file."""
    try:
        photo = base64.b64decode(content["imageData"])
        read_image_header(source, photo)
    except (UserError, binascii.Error, TypeError, ValueError):
        raise UserError(f"{source}: imageData is not an image in base64") from None
    return photo


@dataclass
class _Object:
    """An object with one or more shapes."""

    label: str
    entry: str  # its first shape in messages
    polygons: list[list[float]]
    masks: list[Json]  # RLE: hundreds of masks of a large photo would not fit into memory

    def segmentation(self, height: int, width: int) -> Any:
        """Return polygons, or RLE if one of the shapes is a mask."""
        if not self.masks:
            return self.polygons
        return unite([*self.masks, self.polygons], height, width)


def _read_objects(shapes: list[Any], height: int, width: int, source: Path, dropped: Dropped) -> list[tuple[str, Any]]:
    """Return class and segmentation of each object, and add the shapes that cannot be used to `dropped`."""
    objects: dict[Any, _Object] = {}
    for number, shape in enumerate(shapes):
        entry = f"{source}: shapes[{number}]"
        if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
            raise UserError(f"{entry}: has no label")
        label, kind = shape["label"], shape.get("shape_type") or "polygon"
        entry += f" ({label})"
        if kind in WITHOUT_AREA:
            log.warning("%s: left out, because a %s has no area", entry, kind)
            continue
        points = _read_points(shape, entry)
        if kind == "polygon" and len(points) < 3:
            dropped.add(Verdict(entry, [short_polygon("a polygon", len(points))], is_kept=False))
            continue
        group = shape.get("group_id")
        key = (label, str(group)) if group is not None else number
        one = objects.setdefault(key, _Object(label, entry, [], []))
        if kind == "mask":
            one.masks.append(encode_mask(_read_mask(shape, points, height, width, entry)))
        else:
            one.polygons.append(_outline(kind, points, entry))
    found = []
    for one in objects.values():
        if one.polygons:
            check_segmentation(one.polygons, height, width, one.entry)
        segmentation = one.segmentation(height, width)
        if count_pixels(segmentation, height, width):
            found.append((one.label, segmentation))
        else:
            log.warning("%s: left out, because it covers no pixel of the photo", one.entry)
    return found


def _read_points(shape: Json, entry: str) -> list[tuple[float, float]]:
    points = shape.get("points")
    if not isinstance(points, list) or not all(_is_point(point) for point in points):
        raise UserError(f"{entry}: `points` is not a list of [x, y]")
    return [(float(x), float(y)) for x, y in points]


def _is_point(point: Any) -> bool:
    """Tell whether a value is a list of two numbers that fit into a float."""
    if not isinstance(point, list) or len(point) != 2:
        return False
    return all(type(value) in (int, float) and abs(value) <= sys.float_info.max for value in point)


def _outline(kind: str, points: list[tuple[float, float]], entry: str) -> list[float]:
    """Return a shape as a polygon, [x, y, x, y, ...]."""
    if kind == "rectangle" and len(points) == 2:
        (x0, y0), (x1, y1) = points
        points = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    elif kind == "circle":
        points = _circle(points, entry)
    elif kind not in OUTLINES and not (kind == "rectangle" and len(points) == 4):
        raise UserError(f"{entry}: cannot import a {kind} with {len(points)} points")
    if len(points) < 3:
        raise UserError(f"{entry}: a {kind} has {len(points)} points; at least 3 are needed")
    return [float(value) for point in points for value in point]


def _circle(points: list[tuple[float, float]], entry: str) -> list[tuple[float, float]]:
    if len(points) != 2:
        raise UserError(f"{entry}: a circle has {len(points)} points; it needs its center and a point on its edge")
    (x, y), edge = points
    radius = math.dist((x, y), edge)
    if radius > MAX_RADIUS:
        raise UserError(f"{entry}: a radius of {radius:g} px is too large")
    count = max(12, math.ceil(7 * math.sqrt(radius)))  # accurate to a tenth of a pixel
    angles = [2 * math.pi * step / count for step in range(count)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def _read_mask(shape: Json, points: list[tuple[float, float]], height: int, width: int, entry: str) -> np.ndarray:
    """Return an (h, w) uint8 mask; its picture starts at the shape's first point."""
    try:
        picture = (read_numbers(entry, base64.b64decode(shape.get("mask") or "")) > 0).astype(np.uint8)
    except (UserError, ValueError, TypeError):
        raise UserError(f"{entry}: `mask` is not an image in base64") from None
    left, top = (int(value) for value in points[0]) if points else (0, 0)
    if left < 0 or top < 0 or top + picture.shape[0] > height or left + picture.shape[1] > width:
        raise UserError(f"{entry}: its mask reaches beyond the photo, which is {width}x{height} px")
    mask = np.zeros((height, width), np.uint8)
    mask[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return mask
