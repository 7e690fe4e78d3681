"""Polygons of an image's objects as flat arrays, and their parts inside a crop."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import shapely


@dataclass(frozen=True)
class Polygons:
    """Polygons, end to end.

    Attributes:
        points: (k, 2) float64 of (x, y) in pixels.
        lengths: (m,) int64 number of points of each polygon.
        owners: (m,) int64 object that each polygon is a part of; ascending.
    """

    points: np.ndarray
    lengths: np.ndarray
    owners: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def split(self) -> list[np.ndarray]:
        """Return each polygon's points, (j, 2)."""
        return np.split(self.points, np.cumsum(self.lengths)[:-1]) if len(self) else []

    def scaled(self, factors: np.ndarray) -> Polygons:
        """Multiply x and y by one factor each."""
        return replace(self, points=self.points * factors)

    def of_objects(self, is_kept: np.ndarray) -> Polygons:
        """Return the polygons of the objects where `is_kept` (n,) is True; owners keep their numbers."""
        return self._subset(is_kept[self.owners])

    def cut(self, left: float, top: float, right: float, bottom: float) -> Polygons:
        """Intersect with a rectangle; a polygon may fall into several parts or vanish."""
        if not len(self):
            return self
        starts = np.cumsum(self.lengths) - self.lengths
        lowest, highest = np.minimum.reduceat(self.points, starts), np.maximum.reduceat(self.points, starts)
        is_near = np.all((highest > (left, top)) & (lowest < (right, bottom)), axis=1)
        is_inside = np.all((lowest >= (left, top)) & (highest <= (right, bottom)), axis=1)
        near = self._subset(is_near)
        shapes = shapely.polygons(shapely.linearrings(near.points, indices=near._numbers()))
        is_valid = shapely.is_valid(shapes)
        # A polygon inside the rectangle stays as it is; one that crosses itself is repaired even there.
        is_whole = is_inside[is_near] & is_valid
        shapes[~is_valid] = shapely.make_valid(shapes[~is_valid])
        parts = _outlines(shapely.intersection(shapes[~is_whole], shapely.box(left, top, right, bottom)))
        return _merge(near._subset(is_whole), replace(parts, owners=near.owners[~is_whole][parts.owners]))

    def _numbers(self) -> np.ndarray:
        """Return the polygon number (k,) of each point."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def _subset(self, is_kept: np.ndarray) -> Polygons:
        points = self.points[np.repeat(is_kept, self.lengths)]
        return Polygons(points, self.lengths[is_kept], self.owners[is_kept])


def _outlines(shapes: np.ndarray) -> Polygons:
    """Return the outlines of shapes, owned by the shape's index; lines and points of contact have none."""
    parts, owners = shapely.get_parts(shapes, return_index=True)
    has_area = (shapely.get_type_id(parts) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(parts)
    rings = shapely.get_exterior_ring(parts[has_area])
    points, numbers = shapely.get_coordinates(rings, return_index=True)
    is_last = np.append(numbers[1:] != numbers[:-1], True)[: len(numbers)]  # it repeats the first point
    return Polygons(points[~is_last], shapely.get_num_coordinates(rings).astype(np.int64) - 1, owners[has_area])


def _merge(first: Polygons, second: Polygons) -> Polygons:
    """Join two sets of polygons, sorted by owner."""
    owners = np.concatenate([first.owners, second.owners])
    order = np.argsort(owners, kind="stable")
    parts = [*first.split(), *second.split()]
    points = np.concatenate([parts[number] for number in order]) if parts else np.empty((0, 2))
    return Polygons(points, np.concatenate([first.lengths, second.lengths])[order], owners[order])
