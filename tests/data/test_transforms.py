"""Geometry: image, mask and boxes move together."""

from __future__ import annotations

import numpy as np
import pytest

from vclr import config as settings
from vclr.config import TrainMapperConfig
from vclr.data import transforms
from vclr.data.transforms import Geometry, draw_training_geometry, shortest_edge_size

SIZE = (90, 120)
CONFIG = TrainMapperConfig(
    short_edge_length=[60, 90, 130], max_size=170, crop_short_edge_length=[70, 100], crop_size=[48, 80]
)


def draw_object(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An ellipse's mask (h, w) and its tight xyxy box."""
    center, radius = generator.uniform((20, 20), (SIZE[0] - 20, SIZE[1] - 20)), generator.uniform(6, 19, 2)
    ys, xs = np.indices(SIZE) + 0.5
    mask = (((ys - center[0]) / radius[0]) ** 2 + ((xs - center[1]) / radius[1]) ** 2 < 1).astype(np.uint8)
    return mask, tight_box(mask)


def tight_box(mask: np.ndarray) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float64)


def draw_geometry(seed: int) -> tuple[Geometry, np.random.Generator]:
    generator = np.random.default_rng(seed)
    return draw_training_geometry(CONFIG, SIZE, generator), generator


def test_mask_and_box_move_together():
    num_compared = 0
    for seed in range(150):
        geometry, generator = draw_geometry(seed)
        mask, box = draw_object(generator)
        moved_mask = geometry.apply_to_mask(mask)
        moved_box = geometry.apply_to_boxes(box[None], SIZE)[0]
        assert moved_mask.shape == geometry.output_size
        if geometry.crop_size is not None or not moved_mask.any():
            continue
        num_compared += 1
        assert np.abs(tight_box(moved_mask) - moved_box).max() <= 1.5
    assert num_compared > 40


def test_cropped_mask_lies_in_its_box_and_touches_it_where_the_crop_did_not_cut():
    """The box is clipped, not tightened: it may be larger than what is left of a curved mask."""
    num_compared = 0
    for seed in range(300):
        geometry, generator = draw_geometry(seed)
        if geometry.crop_size is None:
            continue
        mask, box = draw_object(generator)
        moved_mask, moved_box = geometry.apply_to_mask(mask), geometry.apply_to_boxes(box[None], SIZE)[0]
        scale = max(1.0, *(np.array(geometry.output_size) / geometry.crop_box[2:]))
        if not moved_mask.any():
            continue
        found = tight_box(moved_mask)
        assert (found[:2] >= moved_box[:2] - 1.5 * scale).all()
        assert (found[2:] <= moved_box[2:] + 1.5 * scale).all()
        limits = np.array([0, 0, *geometry.output_size[::-1]])
        if (np.abs(moved_box - limits) > 1).all():
            num_compared += 1
            assert np.abs(found - moved_box).max() <= 1.5 * scale
    assert num_compared > 20


def test_image_and_mask_move_together():
    """A white object on black ground stays where its mask is."""
    for seed in range(60):
        geometry, generator = draw_geometry(seed)
        mask, _ = draw_object(generator)
        image = geometry.apply_to_image(np.repeat(mask[:, :, None] * 255, 3, axis=2).astype(np.uint8))
        moved = geometry.apply_to_mask(mask)
        assert image.shape == (*geometry.output_size, 3)
        if moved.sum() > 50:
            overlap = ((image[..., 0] > 127) & (moved > 0)).sum() / ((image[..., 0] > 127) | (moved > 0)).sum()
            assert overlap > 0.75


def test_flipping_twice_changes_nothing():
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    mask, box = draw_object(generator)
    flip = Geometry(True, None, (0, 0, *SIZE), SIZE)
    assert (flip.apply_to_image(flip.apply_to_image(image)) == image).all()
    assert (flip.apply_to_mask(flip.apply_to_mask(mask)) == mask).all()
    np.testing.assert_allclose(flip.apply_to_boxes(flip.apply_to_boxes(box[None], SIZE), SIZE)[0], box)
    assert (tight_box(flip.apply_to_mask(mask)) == flip.apply_to_boxes(box[None], SIZE)[0]).all()


def test_nothing_to_do_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    assert (Geometry(False, None, (0, 0, *SIZE), SIZE).apply_to_image(image) == image).all()


@pytest.mark.parametrize(
    ("size", "short_edge", "max_size", "expected"),
    [
        ((480, 640), 800, 1333, (800, 1067)),
        ((640, 480), 800, 1333, (1067, 800)),
        ((400, 1000), 800, 1333, (533, 1333)),
        ((100, 100), 50, None, (50, 50)),
        ((1, 1000), 800, 1333, (1, 1333)),
        ((1, 1), 800, 1333, (800, 800)),
    ],
)
def test_shortest_edge(size: tuple, short_edge: int, max_size: int | None, expected: tuple):
    assert shortest_edge_size(size, short_edge, max_size) == expected


def test_evaluation_only_resizes():
    geometry = transforms.test_geometry(settings.TestMapperConfig(short_edge_length=45, max_size=1000), SIZE)
    assert geometry == Geometry(False, None, (0, 0, *SIZE), (45, 60))


@pytest.mark.parametrize("size", [(90, 120), (30, 200), (1, 1), (500, 40)], ids=str)
def test_crops_lie_in_the_image(size: tuple[int, int]):
    for seed in range(50):
        geometry = draw_training_geometry(CONFIG, size, np.random.default_rng(seed))
        assert min(geometry.output_size) >= 1
        assert max(geometry.output_size) <= CONFIG.max_size
        if geometry.crop_size is not None:
            top, left, height, width = geometry.crop_box
            assert top >= 0
            assert left >= 0
            assert top + height <= geometry.crop_size[0]
            assert left + width <= geometry.crop_size[1]
            assert max(height, width) <= CONFIG.crop_size[1]


def test_draws_depend_on_the_generator_alone():
    assert [draw_geometry(seed)[0] for seed in range(9)] == [draw_geometry(seed)[0] for seed in range(9)]
    kinds = {(geometry.flip, geometry.crop_size is None) for geometry, _ in map(draw_geometry, range(40))}
    assert len(kinds) == 4


def test_crop_probability_is_kept():
    for probability in (0.0, 1.0):
        config = TrainMapperConfig(crop_probability=probability)
        for seed in range(10):
            geometry = draw_training_geometry(config, (700, 900), np.random.default_rng(seed))
            assert (geometry.crop_size is not None) == bool(probability)
