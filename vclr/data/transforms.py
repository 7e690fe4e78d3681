"""Geometry shared by an image, its views, its masks and boxes: drawn once, applied to each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from PIL import Image

from vclr.config import TestMapperConfig, TrainMapperConfig
from vclr.structures import Size


@dataclass(frozen=True)
class Geometry:
    """Flip, then resize and crop, then resize.

    Attributes:
        flip: mirror left and right.
        crop_size: (height, width) to resize to before cropping; None without a crop.
        crop_box: (top, left, height, width) of the crop.
        output_size: (height, width) of the result.
    """

    flip: bool
    crop_size: Size | None
    crop_box: tuple[int, int, int, int]
    output_size: Size

    def apply_to_image(self, image: np.ndarray) -> np.ndarray:
        """Transform (h, w, 3) uint8, bilinear."""
        if self.flip:
            image = image[:, ::-1]
        if self.crop_size is not None:
            top, left, height, width = self.crop_box
            image = _resize(image, self.crop_size, Image.Resampling.BILINEAR)
            image = image[top : top + height, left : left + width]
        return np.ascontiguousarray(_resize(image, self.output_size, Image.Resampling.BILINEAR))

    def apply_to_mask(self, mask: np.ndarray) -> np.ndarray:
        """Transform (h, w) uint8 of zeros and ones, by the nearest pixel."""
        if self.flip:
            mask = mask[:, ::-1]
        if self.crop_size is not None:
            top, left, height, width = self.crop_box
            mask = _resize(mask, self.crop_size, Image.Resampling.NEAREST)
            mask = mask[top : top + height, left : left + width]
        return np.ascontiguousarray(_resize(mask, self.output_size, Image.Resampling.NEAREST))

    def apply_to_polygon(self, points: np.ndarray, input_size: Size) -> list[np.ndarray]:
        """Transform a polygon (k, 2) of (x, y) in pixels and cut it to the crop.

        Returns:
            Its parts, (j, 2) each; none where the crop lost it. Without a crop it stays whole, also beyond the image.
        """
        points = points.astype(np.float64)
        size = input_size
        if self.flip:
            points[:, 0] = size[1] - points[:, 0]
        parts = [points]
        if self.crop_size is not None:
            points *= np.array(self.crop_size[::-1]) / size[::-1]
            top, left, height, width = self.crop_box
            parts = [part - (left, top) for part in _cut(points, left, top, left + width, top + height)]
            size = height, width
        return [part * (np.array(self.output_size[::-1]) / size[::-1]) for part in parts]

    def apply_to_boxes(self, boxes: np.ndarray, input_size: Size) -> np.ndarray:
        """Transform (n, 4) xyxy boxes in pixels and clip them to the result."""
        boxes = boxes.astype(np.float64)
        size = np.array(input_size, dtype=np.float64)
        if self.flip:
            boxes[:, [0, 2]] = size[1] - boxes[:, [2, 0]]
        if self.crop_size is not None:
            boxes *= np.tile(np.array(self.crop_size[::-1]) / size[::-1], 2)
            top, left, height, width = self.crop_box
            boxes -= np.array([left, top, left, top])
            size = np.array([height, width], dtype=np.float64)
            boxes = boxes.clip(0, np.tile(size[::-1], 2))
        boxes *= np.tile(np.array(self.output_size[::-1]) / size[::-1], 2)
        return boxes.clip(0, np.tile(np.array(self.output_size[::-1]), 2))


def draw_training_geometry(config: TrainMapperConfig, size: Size, generator: np.random.Generator) -> Geometry:
    """Draw flip, crop and scale for an image of (height, width) `size` (METHOD: DETR's augmentation)."""
    has_crop = generator.random() < config.crop_probability
    flip = bool(generator.random() < 0.5)
    crop_size, crop_box = None, (0, 0, *size)
    if has_crop:
        crop_size = shortest_edge_size(size, int(generator.choice(config.crop_short_edge_length)), None)
        crop_box = _draw_crop(crop_size, config.crop_size, generator)
    short_edge = int(generator.choice(config.short_edge_length))
    return Geometry(flip, crop_size, crop_box, shortest_edge_size(crop_box[2:], short_edge, config.max_size))


def test_geometry(config: TestMapperConfig, size: Size) -> Geometry:
    """Return the resize of evaluation."""
    return Geometry(False, None, (0, 0, *size), shortest_edge_size(size, config.short_edge_length, config.max_size))


def shortest_edge_size(size: Size, short_edge: int, max_size: int | None) -> Size:
    """Return (height, width) with the shorter side at `short_edge` unless the longer one would pass `max_size`."""
    shorter, longer = float(short_edge), short_edge / min(size) * max(size)
    if max_size is not None and longer > max_size:
        # In two steps, as detectron2 does: another order would round some sizes to another pixel.
        scale = max_size / longer
        shorter, longer = shorter * scale, longer * scale
    sides = max(1, int(shorter + 0.5)), max(1, int(longer + 0.5))
    return sides if size[0] <= size[1] else sides[::-1]


def _draw_crop(size: Size, limits: list[int], generator: np.random.Generator) -> tuple[int, int, int, int]:
    """Draw (top, left, height, width) with sides between the two limits, as far as the image allows."""
    smallest, largest = limits
    sides = [int(generator.integers(min(side, smallest), min(side, largest) + 1)) for side in size]
    corner = [int(generator.integers(0, side - crop + 1)) for side, crop in zip(size, sides, strict=True)]
    return corner[0], corner[1], sides[0], sides[1]


def _cut(points: np.ndarray, left: float, top: float, right: float, bottom: float) -> list[np.ndarray]:
    """Intersect a polygon (k, 2) with a rectangle; return the outlines of what is left of it."""
    polygon = shapely.Polygon(points)
    if not polygon.is_valid:  # it crosses itself
        polygon = shapely.make_valid(polygon)
    parts = shapely.get_parts(polygon.intersection(shapely.box(left, top, right, bottom)))
    # Where they only touch, lines and points are left, or a polygon without any.
    areas = [part for part in parts if isinstance(part, shapely.Polygon) and not part.is_empty]
    return [np.asarray(part.exterior.coords)[:-1] for part in areas]


def _resize(image: np.ndarray, size: Size, resampling: Image.Resampling) -> np.ndarray:
    if image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(size[::-1], resampling))
