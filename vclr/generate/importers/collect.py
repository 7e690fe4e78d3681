"""Collect the photos and objects of another tool, whatever its format: the part that all newer importers share.

An object becomes upright, stays inside its photo, and is counted if it cannot be used.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vclr.coco.annotations import Json, encode_mask, to_mask
from vclr.coco.checks import MAX_COORDINATE
from vclr.coco.unusable import EMPTY_BOX, Dropped, Unusable, Verdict, find_unusable_polygons
from vclr.errors import UserError
from vclr.file_names import CONTROL
from vclr.generate.importers.find_photo import PhotoFinder
from vclr.generate.importers.notes import Notes
from vclr.generate.importers.orientation import UNCLEAR, is_stored_size, is_unclear, turn_mask, turn_points
from vclr.generate.importers.photos import Box, Photo, count_pixels, unite, write_photos
from vclr.pictures import ImageHeader

SURROGATE = re.compile("[\ud800-\udfff]")  # half a character, which no text file can hold
ROUNDING = 0.01  # of a side: how far beyond the photo rounding, or a quick hand, may put a point
BEYOND = "objects that reach beyond their photo, cut at its border"
NO_PIXEL = "objects that cover no pixel, left out"
TURNED = "photos annotated as stored, not as their EXIF data turns them; their objects were turned upright"
Points = Sequence[Sequence[float]] | np.ndarray


class Collector:
    """The photos that an import has met, in order.

    Attributes:
        source: the file or folder that is imported, for messages.
        finder: the photos on disk.
        notes: what was changed or left out.
    """

    def __init__(self, source: Path, images: Path) -> None:
        self.source = source
        self.finder = PhotoFinder(images)
        self.notes = Notes()
        self.photos: dict[str, OpenPhoto] = {}
        self.dropped = Dropped(what="objects")
        self.num_objects = 0

    def open(
        self,
        named: str,
        entry: str,
        size: tuple[Any, Any] | None = None,
        shorten: Callable[[str], str] | None = None,
    ) -> OpenPhoto:
        """Return the photo to which objects are added.

        Args:
            named: its name in the annotations.
            entry: what messages call its entry.
            size: (width, height) as the annotations say; None if they do not.
            shorten: see `PhotoFinder.find`.

        Raises:
            UserError: it does not exist, is of another size, or has been opened before.
        """
        name = self.finder.find(named, entry, shorten)
        if name in self.photos:
            raise UserError(
                f"{entry}: its photo {name} is also annotated in {self.photos[name].entry}; keep one of them"
            )
        header = self.finder.read_header(name)
        is_stored = False
        if size is not None:
            width, height = size
            is_stored = is_stored_size(header, width, height)
            if not is_stored and (width, height) != (header.width, header.height):
                turned = " turned upright by its EXIF data" if header.is_turned else ""
                says = (
                    f"its size is {width}x{height}, but its photo {name} is {header.width}x{header.height} px{turned}"
                )
                raise UserError(f"{entry}: {says}; use the photos that were annotated")
            if is_stored:
                self.notes.add(TURNED, name)
        self.photos[name] = OpenPhoto(self, name, entry, header, is_stored, is_unclear(header, size))
        return self.photos[name]

    def write(self, output: Path, names: Iterable[str] = ()) -> str:
        """Warn of what was changed or left out, write the json, and return its content in words; see `write_photos`."""
        photos = [photo.finish() for photo in self.photos.values()]
        names = list(names)
        for name in (*names, *(name for photo in photos for name, _ in (*photo.objects, *photo.crowds))):
            if not name.strip() or CONTROL.search(name) or SURROGATE.search(name):
                raise UserError(f"{self.source}: {name!r} is not the name of a class")
        self.dropped.warn(self.source, self.num_objects)
        self.notes.warn(self.source)
        return write_photos(output, photos, names)


class OpenPhoto:
    """A photo to which objects are added, in pixels of the picture that was annotated.

    Attributes:
        width: of the annotated picture, which lies on its side if the tool ignored its EXIF data.
        height: of the same.
        entry: what messages call the photo's entry.
    """

    def __init__(
        self, owner: Collector, name: str, entry: str, header: ImageHeader, is_stored: bool, is_unclear: bool
    ) -> None:
        self.name, self.entry, self.header, self.is_stored = name, entry, header, is_stored
        self._is_unclear = is_unclear
        self.width, self.height = (header.height, header.width) if is_stored else (header.width, header.height)
        self._owner = owner
        self._objects: list[tuple[str, Any]] = []
        self._crowds: list[tuple[str, Any]] = []

    def add_polygons(self, label: str, polygons: Sequence[Points], entry: str, is_crowd: bool = False) -> None:
        """Add an object with one or more outlines of points (x, y).

        Raises:
            UserError: a coordinate is not a usable number.
        """
        upright = self._take(polygons, entry, has_more=False)
        if upright:
            covered = unite([upright], self.header.height, self.header.width)
            self._add(label, covered if is_crowd else upright, covered, entry, is_crowd)

    def add_box(self, label: str, corners: Sequence[float], entry: str) -> None:
        """Add an object whose box has the corners (left, top, right, bottom), in any order.

        Raises:
            UserError: a corner is not a usable number.
        """
        self._owner.num_objects += 1
        points = np.array(flatten([corners[:2], corners[2:]], entry)).reshape(2, 2)
        sides = np.abs(points[1] - points[0])
        if not sides.all():
            problem = Unusable(EMPTY_BOX, f"box is {sides[0]:g}x{sides[1]:g} px")
            self._owner.dropped.add(Verdict(entry, [problem], is_kept=False))
            return
        upright = self._fit(points, entry)
        left, top = np.clip(upright.min(0), 0, (self.header.width, self.header.height)).tolist()
        right, bottom = np.clip(upright.max(0), 0, (self.header.width, self.header.height)).tolist()
        if left < right and top < bottom:
            self._objects.append((label, Box(left, top, right - left, bottom - top)))
        else:
            self._owner.notes.add(NO_PIXEL, entry)

    def encode(self, mask: np.ndarray) -> Json:
        """Return a (height, width) uint8 mask of the annotated picture as upright RLE, which takes little memory."""
        return encode_mask(turn_mask(np.ascontiguousarray(mask, np.uint8), self.header) if self.is_stored else mask)

    def add_parts(
        self, label: str, masks: Sequence[Json], polygons: Sequence[Points], entry: str, is_crowd: bool = False
    ) -> None:
        """Add an object with every pixel of its masks, which `encode` returned, and of its outlines.

        Raises:
            UserError: a coordinate is not a usable number.
        """
        upright = self._take(polygons, entry, has_more=True)
        covered = unite([*masks, upright], self.header.height, self.header.width)
        self._add(label, covered, covered, entry, is_crowd)

    def add_rle(self, label: str, rle: Json, entry: str, is_crowd: bool = False) -> None:
        """Add an object by COCO's RLE, which `check_segmentation` has accepted."""
        self.add_parts(label, [self.encode(to_mask(rle, self.height, self.width))], [], entry, is_crowd)

    def note(self, kind: str, entry: str) -> None:
        """Count what was changed or left out."""
        self._owner.notes.add(kind, entry)

    def finish(self) -> Photo:
        """Return the photo with its objects."""
        if self._is_unclear and (self._objects or self._crowds):
            self._owner.notes.add(UNCLEAR, self.name)
        return Photo(self.name, self.header.height, self.header.width, self._objects, self._crowds)

    def _take(self, polygons: Sequence[Points], entry: str, has_more: bool) -> list[list[float]]:
        """Count an object, and return those of its outlines that can be used, upright, as COCO has them."""
        self._owner.num_objects += 1
        flat = [flatten(points, entry) for points in polygons]
        problems = list(find_unusable_polygons(flat))
        if problems:
            flat = [polygon for polygon in flat if len(polygon) >= 6 and len(polygon) % 2 == 0]
            self._owner.dropped.add(Verdict(entry, problems, is_kept=has_more or bool(flat)))
        return [self._fit(np.array(polygon).reshape(-1, 2), entry).ravel().tolist() for polygon in flat]

    def _add(self, label: str, segmentation: Any, covered: Json, entry: str, is_crowd: bool) -> None:
        """Add an object unless the RLE of its pixels is empty."""
        if count_pixels(covered, self.header.height, self.header.width):
            (self._crowds if is_crowd else self._objects).append((label, segmentation))
        else:
            self._owner.notes.add(NO_PIXEL, entry)

    def _fit(self, points: np.ndarray, entry: str) -> np.ndarray:
        """Return (n, 2) points upright; those that are a little beyond the border are moved onto it.

        Those farther away stay, because moving them would bend the outline inside the photo.
        """
        sides = np.array([self.width, self.height], dtype=float)
        inside = np.clip(points, 0, sides)
        beyond = np.abs(points - inside)
        if beyond.max() > 1:
            self._owner.notes.add(BEYOND, entry)
        fitted = np.where(beyond <= np.maximum(1, ROUNDING * sides), inside, points)
        return turn_points(fitted, self.header) if self.is_stored else fitted


def flatten(points: Points, entry: str) -> list[float]:
    """Return points as [x, y, x, y, ...].

    Raises:
        UserError: a coordinate is not a usable number.
    """
    try:
        flat = [float(value) for point in points for value in point]
    except (TypeError, ValueError, OverflowError):
        raise UserError(f"{entry}: its points are not pairs of numbers") from None
    if not all(abs(value) <= MAX_COORDINATE for value in flat):  # NaN, too
        raise UserError(f"{entry}: a coordinate is not a number of pixels")
    return flat
