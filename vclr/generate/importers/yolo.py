"""Convert the labels of YOLO, boxes or polygons in fractions of the photo, to one COCO json."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from vclr.coco.unusable import ODD_POLYGON, Unusable, Verdict, short_polygon
from vclr.errors import UsageError, UserError
from vclr.file_names import list_files
from vclr.files import read_bytes
from vclr.generate.importers.collect import Collector, OpenPhoto
from vclr.generate.importers.find_photo import PhotoFinder
from vclr.generate.importers.yolo_layout import Layout, list_part, read_layout
from vclr.json_text import decode_text
from vclr.pictures import IMAGE_SUFFIXES
from vclr.progress import track
from vclr.wording import short

FARTHEST = 2.0  # a fraction of the photo beyond which a coordinate must be in pixels
WITHOUT_LABEL = "photos without a label file, taken as photos without objects"
REPEATED = "rows that repeat another row of their file, left out"
WITH_SCORE = "boxes with a confidence or the number of a track after them, which is left out: these are predictions"
LIKE_TRACK = "rows that may be boxes with a confidence and the number of a track, read as triangles"
KEYPOINTS = "rows with keypoints, of which only the box is read"


def import_yolo(
    source: Path,
    output: Path,
    images: Path | None = None,
    part: str = "",
    classes: Path | None = None,
    quiet: bool = False,
) -> str:
    """Write a COCO json of a YOLO data set.

    A row of 5 numbers is a box (class, center, width, height), one with more a polygon, of which the 4 corners of a
    rotated box are one; all are fractions of the photo's sides. An empty file is a photo without objects, and so is a
    missing one, which is counted. The label of `images/a.jpg` is `labels/a.txt`, or a.txt beside the photo, or the only
    a.txt below the data set that is not the label of another photo.

    Args:
        source: data.yaml, or the folder that holds it, or a folder of labels with classes.txt or obj.names.
        output: the json to write.
        images: the folder of the photos, by default that of the data set; names in the json start there.
        part: train, val or test, to import only this part; by default all.
        classes: a text file with a class name per line, if the data set has none.
        quiet: show no progress.

    Returns:
        The content of the json, in words.

    Raises:
        UserError: one line that names the file and the bad row.
    """
    layout = read_layout(source, classes)
    collector = Collector(source, images or layout.folder)
    labels = _Labels(layout.folder, collector.finder)
    for name in track(_list_photos(layout, source, part, collector), "reading YOLO", quiet):
        photo = collector.open(name, name)
        label = labels.find(name)
        if label is None:
            collector.notes.add(WITHOUT_LABEL, name)
        else:
            _read_label(label, photo, layout, collector)
    if not labels.num_found:
        raise UserError(f"{source}: none of {len(collector.photos)} photos has a label file; is --images right?")
    return collector.write(output, layout.names.values())


def _list_photos(layout: Layout, source: Path, part: str, collector: Collector) -> list[str]:
    """Return the names of the photos to import, each once."""
    every = collector.finder.names
    if not layout.parts:
        if part:
            raise UsageError(f"--part {part}: {source} has no data.yaml that names its parts")
        return every
    if part and part not in layout.parts:
        raise UsageError(f"--part {part}: data.yaml names only {', '.join(layout.parts)}")
    named: dict[str, None] = {}
    missing = {}
    for key in [part] if part else layout.parts:
        listed = list_part(layout, layout.parts[key], source)
        if listed is None:
            missing[key] = layout.parts[key]
            continue
        for place in listed:
            named |= dict.fromkeys(_expand(place, source, collector))
    if missing and (part or not named):
        if not part and every:  # data.yaml of another machine: all photos are there, but not where it says
            return every
        key, places = next(iter(missing.items()))
        raise UserError(f"{source}: `{key}: {places[0]}` does not exist; correct data.yaml")
    for key, places in missing.items():
        collector.notes.add("parts of data.yaml that do not exist, left out", f"{key}: {places[0]}")
    return list(named)


def _expand(place: str, source: Path, collector: Collector) -> Iterator[str]:
    """Yield the names of the photos in a folder, or of one photo."""
    finder = collector.finder
    root = Path(os.path.abspath(finder.folder.path))
    if not place.endswith("/"):
        yield finder.find(place, str(source))
        return
    folder = Path(os.path.abspath(place))
    if folder.is_relative_to(root):
        below = folder.relative_to(root).as_posix()
        start = "" if below == "." else f"{below}/"
        yield from (name for name in finder.names if name.startswith(start))
        return
    raise UserError(
        f"{source}: its photos in {folder} are outside of {finder.folder.path}; name their folder with --images"
    )


class _Labels:
    """The label files of a data set, and where the photo of each is."""

    def __init__(self, folder: Path, finder: PhotoFinder) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.images = Path(os.path.abspath(finder.folder.path))
        self.num_found = 0
        self._by_stem: dict[str, list[Path]] = {}
        for path in list_files(folder.rglob("*.txt")):
            self._by_stem.setdefault(path.stem, []).append(path)
        self._photos: dict[str, list[str]] = {}
        for name in finder.names:
            self._photos.setdefault(Path(name).stem, []).append(name)

    def find(self, name: str) -> Path | None:
        """Return the label file of a photo, or None.

        Raises:
            UserError: several may be meant, or it may be that of several photos.
        """
        photo = self.images / name
        places = [_exchange(photo, "images", "labels"), photo.parent]  # the rule of Ultralytics, and beside the photo
        tried = [place / f"{photo.stem}.txt" for place in places]
        found = next((path for path in tried if path.is_file()), None) or self._find_by_stem(photo, name)
        self.num_found += found is not None
        return found

    def _find_by_stem(self, photo: Path, name: str) -> Path | None:
        """Return the only label file with the stem of a photo, unless it lies where that of another photo would."""
        meant = [path for path in self._by_stem.get(photo.stem, []) if not self._is_of_another(path, photo)]
        if len(meant) > 1:
            raise UserError(f"{photo}: its label may be {meant[0]} or {meant[1]}; import one folder at a time")
        others = [other for other in self._photos.get(photo.stem, []) if other != name]
        if meant and others:
            raise UserError(f"{meant[0]}: may be the label of {others[0]} or of {name}; import one folder at a time")
        return meant[0] if meant else None

    def _is_of_another(self, label: Path, photo: Path) -> bool:
        """Tell whether a label file belongs to another photo. Copies of photos outside of the data set may share it."""
        label = Path(os.path.abspath(label))
        owners = [
            path
            for place in {_exchange(label, "labels", "images"), label.parent}
            for path in place.glob(f"{glob.escape(label.stem)}.*")
            if path.stem == label.stem and path.suffix.lower() in IMAGE_SUFFIXES
        ]
        if photo.exists() and any(path.samefile(photo) for path in owners):
            return False
        return any(photo.is_relative_to(self.folder) or path.is_relative_to(self.images) for path in owners)


def _exchange(path: Path, old: str, new: str) -> Path:
    """Return the folder of a file after the last folder called `old` in it has become `new`."""
    parts = path.parent.parts
    last = max((place for place, part in enumerate(parts) if part == old), default=None)
    return path.parent if last is None else Path(*parts[:last], new, *parts[last + 1 :])


def _read_label(path: Path, photo: OpenPhoto, layout: Layout, collector: Collector) -> None:
    seen: set[str] = set()
    for number, line in enumerate(decode_text(read_bytes(path), path).splitlines(), start=1):
        if not line.strip():
            continue
        entry = f"{path}: line {number}"
        row = " ".join(line.split())
        if row in seen:
            collector.notes.add(REPEATED, entry)
            continue
        seen.add(row)
        name, numbers = _read_row(row, layout.names, entry)
        if layout.has_keypoints and len(numbers) > 4:
            collector.notes.add(KEYPOINTS, entry)
            numbers = numbers[:4]
        if len(numbers) == 5:
            collector.notes.add(WITH_SCORE, entry)
            numbers = numbers[:4]
        if _is_like_track(row, numbers):
            if numbers[-1] > FARTHEST:
                ending = f"a confidence and the number of a track ({numbers[-1]:g})"
                raise UserError(f"{entry}: ends in {ending}, as predictions do; leave out these two numbers")
            collector.notes.add(LIKE_TRACK, entry)
        _check_fractions(numbers, entry)
        if len(numbers) == 4:
            x, y, width, height = numbers
            corners = x - width / 2, y - height / 2, x + width / 2, y + height / 2
            photo.add_box(name, _in_pixels(corners, photo).ravel().tolist(), entry)
        elif len(numbers) % 2 or len(numbers) < 4:
            collector.num_objects += 1
            says = Unusable(ODD_POLYGON, f"has {len(numbers)} coordinates, an odd number")
            problem = says if len(numbers) % 2 else short_polygon("a polygon", len(numbers) // 2)
            collector.dropped.add(Verdict(entry, [problem], is_kept=False))
        else:
            photo.add_polygons(name, [_in_pixels(numbers, photo)], entry)


def _read_row(row: str, names: dict[int, str], entry: str) -> tuple[str, list[float]]:
    """Return the class name of a row, and its other numbers."""
    try:
        first, *numbers = [float(value) for value in row.split()]
        kind = int(first)
    except (ValueError, OverflowError):
        raise UserError(f"{entry}: is not a row of numbers: {row[:60]!r}") from None
    if kind != first or kind not in names:
        says = f"class {row.split()[0][:40]}, but the data set names {len(names)} "
        says += f"(from {short(min(names))} to {short(max(names))})"
        raise UserError(f"{entry}: has {says}")
    return names[kind], numbers


def _is_like_track(row: str, numbers: list[float]) -> bool:
    """Tell whether six numbers may be a box inside the photo, a confidence and a track; a triangle seldom is."""
    if len(numbers) != 6 or not row.split()[-1].isdecimal() or numbers[-1] < 1:
        return False
    x, y, width, height, confidence = numbers[:5]
    is_inside = width / 2 <= x <= 1 - width / 2 and height / 2 <= y <= 1 - height / 2
    return is_inside and width > 0 and height > 0 and 0 <= confidence <= 1


def _check_fractions(numbers: Iterable[float], entry: str) -> None:
    for value in numbers:
        if not 1 - FARTHEST <= value <= FARTHEST:  # NaN, too
            raise UserError(f"{entry}: {value:g} is not a fraction of the photo's side; YOLO needs numbers from 0 to 1")


def _in_pixels(numbers: Sequence[float], photo: OpenPhoto) -> np.ndarray:
    """Return fractions x, y, x, y, ... as (n, 2) points in pixels."""
    return np.array(numbers, dtype=float).reshape(-1, 2) * (photo.width, photo.height)
