"""Join the shapes of a photo that have one label and one group: they are parts of one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vclr.coco.annotations import Json
from vclr.generate.importers.collect import OpenPhoto, Points, flatten
from vclr.generate.importers.shapes import rectangle

AROUND = "boxes around the outline of their own object, left out"
TIGHT = 2.0  # pixels between such a box and the outline


def is_around(corners: Sequence[float], outlines: Sequence[np.ndarray]) -> bool:
    """Tell whether a box (left, top, right, bottom) is the one around some outlines of (n, 2) points."""
    points = np.concatenate([*outlines, np.empty((0, 2))])
    if not len(points):
        return False
    around = np.concatenate([points.min(0), points.max(0)])
    return bool(np.abs(around - np.array(corners)).max() <= TIGHT)


@dataclass
class _Parts:
    """An object: its first shape in messages, and its shapes by their kinds."""

    label: str
    entry: str
    boxes: list[tuple[float, ...]] = field(default_factory=list)
    polygons: list[np.ndarray] = field(default_factory=list)
    masks: list[Json] = field(default_factory=list)  # RLE: hundreds of masks of a large photo would not fit into memory
    corners: list[np.ndarray] = field(default_factory=list)  # of the boxes around the masks, (2, 2) each


class Grouped:
    """The objects of a photo, in the order of their first shapes. A shape without a group is an object."""

    def __init__(self, photo: OpenPhoto) -> None:
        self._photo = photo
        self._objects: dict[object, _Parts] = {}

    def box(self, label: str, corners: Sequence[float], entry: str, group: str | None) -> None:
        """Add a box by its (left, top, right, bottom).

        Raises:
            UserError: a corner is not a usable number.
        """
        flat = flatten([corners[:2], corners[2:]], entry)
        self._of(label, entry, group).boxes.append(tuple(flat))

    def polygon(self, label: str, points: Points, entry: str, group: str | None) -> None:
        """Add an outline of points (x, y).

        Raises:
            UserError: a coordinate is not a usable number.
        """
        outline = np.array(flatten(points, entry)).reshape(-1, 2)
        self._of(label, entry, group).polygons.append(outline)

    def mask(self, label: str, mask: np.ndarray, entry: str, group: str | None) -> None:
        """Add an (h, w) uint8 mask of the whole photo."""
        one = self._of(label, entry, group)
        one.masks.append(self._photo.encode(mask))
        if mask.any():
            one.corners.append(_corners_of(mask))

    def finish(self) -> None:
        """Add the objects to their photo: as a box if they are one, with every pixel if a part is a mask."""
        for one in self._objects.values():
            self._leave_out_boxes(one)
            if not one.polygons and not one.masks and len(one.boxes) == 1:
                self._photo.add_box(one.label, one.boxes[0], one.entry)
                continue
            polygons = [*one.polygons, *(rectangle(*box) for box in one.boxes)]
            if one.masks:
                self._photo.add_parts(one.label, one.masks, polygons, one.entry)
            else:
                self._photo.add_polygons(one.label, polygons, one.entry)

    def _leave_out_boxes(self, one: _Parts) -> None:
        """Leave out boxes around the outlines of their object, which converters from COCO write beside them."""
        kept = [box for box in one.boxes if not is_around(box, [*one.polygons, *one.corners])]
        for _ in range(len(one.boxes) - len(kept)):
            self._photo.note(AROUND, one.entry)
        one.boxes = kept

    def _of(self, label: str, entry: str, group: str | None) -> _Parts:
        key = entry if group is None else (label, group)
        return self._objects.setdefault(key, _Parts(label, entry))


def _corners_of(mask: np.ndarray) -> np.ndarray:
    """Return the first and the last corner of the box around a mask, (2, 2), x before y."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]], dtype=float)
