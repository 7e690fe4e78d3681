"""Geometry shared by an image, its views, its masks and boxes: drawn once, applied to each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from vclr.config import TestMapperConfig, TrainMapperConfig
from vclr.data.polygons import Polygons
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

    def apply_to_image(self, image: Image.Image) -> Image.Image:
        """Transform an image, bilinear.

        The image stays Pillow's from file to result: each way to an array and back is a copy or two.
        """
        return self._apply(image, Image.Resampling.BILINEAR)

    def apply_to_mask(self, mask: np.ndarray) -> np.ndarray:
        """Transform (h, w) uint8 of zeros and ones, by the nearest pixel."""
        return np.asarray(self._apply(Image.fromarray(mask), Image.Resampling.NEAREST))

    def _apply(self, image: Image.Image, resampling: Image.Resampling) -> Image.Image:
        if self.flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.crop_size is not None:
            top, left, height, width = self.crop_box
            image = _resize(image, self.crop_size, resampling).crop((left, top, left + width, top + height))
        return _resize(image, self.output_size, resampling)

    def apply_to_polygons(self, polygons: Polygons, input_size: Size) -> Polygons:
        """Transform polygons and cut them to the crop; without one they stay whole, also beyond the image."""
        height, width = input_size
        if self.flip:
            points = np.stack([width - polygons.points[:, 0], polygons.points[:, 1]], axis=-1)
            polygons = replace(polygons, points=points)
        if self.crop_size is not None:
            polygons = polygons.scaled(_factors(self.crop_size, input_size))
            top, left, height, width = self.crop_box
            polygons = polygons.cut(left, top, left + width, top + height)
            polygons = replace(polygons, points=polygons.points - (left, top))
        return polygons.scaled(_factors(self.output_size, (height, width)))

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


def _factors(output_size: Size, input_size: Size) -> np.ndarray:
    """Return what a resize multiplies x and y by."""
    return np.array(output_size[::-1]) / input_size[::-1]


def _resize(image: Image.Image, size: Size, resampling: Image.Resampling) -> Image.Image:
    return image if image.size == size[::-1] else image.resize(size[::-1], resampling)
