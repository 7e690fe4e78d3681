"""Masks in their windows: pixel for pixel what drawing each object as a whole gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from benchmarks.straightforward import read_image, transform_image, transform_objects
from tests.shared import PHOTOS
from vclr.coco.annotations import encode_mask, load_coco
from vclr.config import TrainMapperConfig
from vclr.data.masks import crop_mask, draw_polygons, join_masks, no_masks
from vclr.data.objects import Objects
from vclr.data.polygons import Polygons
from vclr.data.transforms import draw_training_geometry
from vclr.ops.boxes import xyxy_to_cxcywh
from vclr.pictures import open_image
from vclr.structures import Size

SIZE = (37, 53)


def draw_polygon(generator: np.random.Generator, size: Size) -> np.ndarray:
    """Any kind: stars, self-crossing, thin, beyond the border, on whole and half pixels."""
    height, width = size
    num_points = int(generator.integers(3, 12))
    points = generator.uniform((-0.2 * width, -0.2 * height), (1.2 * width, 1.2 * height), (num_points, 2))
    kind = generator.integers(4)
    if kind == 0:
        points = points[0] + 0.1 * (points - points[0])
    elif kind == 1:
        points = np.round(points * 2) / 2
    elif kind == 2:
        points[:, 0] = points[0, 0] + 0.1 * points[:, 1] / height
    return points


def draw_objects(generator: np.random.Generator, size: Size) -> Polygons:
    parts = [draw_polygon(generator, size) for _ in range(generator.integers(1, 9))]
    owners = np.sort(generator.integers(0, 6, len(parts)))
    return Polygons(np.concatenate(parts), np.array([len(part) for part in parts]), owners)


def draw_whole(polygons: Polygons, size: Size) -> np.ndarray:
    """Rasterize and decode each object by itself."""
    masks = []
    for owner in np.unique(polygons.owners):
        parts = [
            part.ravel().tolist() for part, of in zip(polygons.split(), polygons.owners, strict=True) if of == owner
        ]
        masks.append(coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(parts, *size))))
    return np.array(masks)


def test_windows_hold_every_pixel():
    for seed in range(400):
        generator = np.random.default_rng(seed)
        size = (int(generator.integers(1, 60)), int(generator.integers(1, 60)))
        polygons = draw_objects(generator, size)
        owners, masks = draw_polygons(polygons, size)
        assert owners.tolist() == sorted(set(polygons.owners.tolist()))
        assert np.array_equal(masks.whole(), draw_whole(polygons, size))


def test_windows_are_tight():
    polygons = Polygons(np.array([[3.0, 4], [9, 4], [9, 20], [3, 20]]), np.array([4]), np.array([2]))
    owners, masks = draw_polygons(polygons, SIZE)
    assert owners.tolist() == [2]
    assert masks.windows.tolist() == [[3, 4, 6, 16]]
    assert len(masks.pixels) == 6 * 16


def test_no_polygons_no_masks():
    owners, masks = draw_polygons(Polygons(np.empty((0, 2)), np.empty(0, int), np.empty(0, int)), SIZE)
    assert len(owners) == len(masks) == 0
    assert masks.whole().shape == no_masks(SIZE).whole().shape == (0, *SIZE)


@pytest.mark.parametrize("fill", [0.0, 0.01, 0.5, 1.0])
def test_cropped_mask_is_the_mask(fill: float):
    mask = (np.random.default_rng(1).random(SIZE) < fill).astype(np.uint8)
    assert np.array_equal(crop_mask(mask).whole(), mask[None])


def test_joined_masks_are_in_the_order_asked_for():
    generator = np.random.default_rng(2)
    masks = (generator.random((4, *SIZE)) < 0.1).astype(np.uint8)
    masks[2] = 0
    parts = [crop_mask(mask) for mask in masks]
    order = np.array([2, 0, 3, 1])
    assert np.array_equal(
        join_masks([join_masks(parts[:2], np.arange(2), SIZE), *parts[2:]], order, SIZE).whole(), masks[order]
    )
    assert join_masks([no_masks(SIZE)], np.empty(0, int), SIZE).whole().shape == (0, *SIZE)


# --- the whole mapper against the straightforward one ----------------------------------------------------------------

MAPPER = TrainMapperConfig(
    short_edge_length=[60, 90, 130], max_size=170, crop_short_edge_length=[70, 100], crop_size=[48, 80]
)


def assert_moved_alike(annotations: list[dict], size: Size, mapper: TrainMapperConfig, seed: int) -> int:
    """Compare boxes and masks; return how many objects are left."""
    geometry = draw_training_geometry(mapper, size, np.random.default_rng(seed))
    boxes, masks, _ = Objects.from_annotations(annotations).move(geometry, size)
    expected_boxes, expected = transform_objects(annotations, geometry, size)
    assert len(boxes) == len(masks) == len(expected)
    if expected:
        assert np.array_equal(masks.whole(), np.stack(expected))
        height, width = geometry.output_size
        normalized = xyxy_to_cxcywh(torch.from_numpy(expected_boxes)) / torch.tensor([width, height, width, height])
        torch.testing.assert_close(boxes, normalized.float())
    return len(boxes)


def test_objects_of_any_kind_move_as_one_by_one():
    """Polygons of several parts and run lengths, in any order."""
    num_left = 0
    for seed in range(150):
        generator = np.random.default_rng(seed)
        annotations = []
        for _ in range(int(generator.integers(0, 8))):
            parts = [draw_polygon(generator, (90, 120)) for _ in range(generator.integers(1, 3))]
            low, high = np.concatenate(parts).min(0), np.concatenate(parts).max(0)
            item = {"bbox": [*low, *(high - low)], "segmentation": [part.ravel().tolist() for part in parts]}
            if generator.random() < 0.3:
                item["segmentation"] = encode_mask((generator.random((90, 120)) < 0.02).astype(np.uint8))
            annotations.append(item)
        num_left += assert_moved_alike(annotations, (90, 120), MAPPER, seed)
    assert num_left > 200


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED for photos")
def test_annotations_of_photos_move_as_one_by_one():
    """Two geometries of each photo, with the published settings."""
    coco = load_coco(PHOTOS / "annotations.json")
    for number, image in enumerate(coco["images"]):
        annotations = [item for item in coco["annotations"] if item["image_id"] == image["id"] and not item["iscrowd"]]
        for seed in range(2):
            assert_moved_alike(
                annotations, (image["height"], image["width"]), TrainMapperConfig(), 1000 * seed + number
            )


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED for photos")
def test_photos_are_transformed_as_arrays_would_be():
    for seed, path in enumerate(sorted((PHOTOS / "images").iterdir())[:25]):
        photo, array = open_image(path), read_image(path)
        geometry = draw_training_geometry(TrainMapperConfig(), array.shape[:2], np.random.default_rng(seed))
        assert isinstance(photo, Image.Image)
        assert np.array_equal(np.asarray(geometry.apply_to_image(photo)), transform_image(array, geometry))
