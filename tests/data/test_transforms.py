"""Geometry: image, mask and boxes move together."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from vclr import config as settings
from vclr.coco.annotations import to_mask
from vclr.config import TrainMapperConfig
from vclr.data import transforms
from vclr.data.polygons import Polygons
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


def apply_to_image(geometry: Geometry, image: np.ndarray) -> np.ndarray:
    return np.asarray(geometry.apply_to_image(Image.fromarray(image)))


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
        image = apply_to_image(geometry, np.repeat(mask[:, :, None] * 255, 3, axis=2).astype(np.uint8))
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
    assert (apply_to_image(flip, apply_to_image(flip, image)) == image).all()
    assert (flip.apply_to_mask(flip.apply_to_mask(mask)) == mask).all()
    np.testing.assert_allclose(flip.apply_to_boxes(flip.apply_to_boxes(box[None], SIZE), SIZE)[0], box)
    assert (tight_box(flip.apply_to_mask(mask)) == flip.apply_to_boxes(box[None], SIZE)[0]).all()


def test_nothing_to_do_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    assert (apply_to_image(Geometry(False, None, (0, 0, *SIZE), SIZE), image) == image).all()


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


# --- the published distributions -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn() -> list[Geometry]:
    """Geometries of a 480 x 640 photo with the published settings."""
    generator = np.random.default_rng(0)
    return [draw_training_geometry(TrainMapperConfig(), (480, 640), generator) for _ in range(8000)]


def assert_uniform(values: list[int], choices: list[int]) -> None:
    """Every choice occurs, each as often as chance would have it."""
    counts = Counter(values)
    assert set(counts) == set(choices)
    assert stats.chisquare([counts[choice] for choice in choices]).pvalue > 1e-3


def test_flips_crops_and_scales_are_as_frequent_as_published(drawn: list[Geometry]):
    cropped = [geometry for geometry in drawn if geometry.crop_size is not None]
    plain = [geometry for geometry in drawn if geometry.crop_size is None]
    assert_uniform([geometry.flip for geometry in drawn], [False, True])
    assert_uniform([geometry.crop_size is None for geometry in drawn], [False, True])
    assert_uniform([min(geometry.output_size) for geometry in plain], list(range(480, 801, 32)))
    assert_uniform([min(geometry.crop_size) for geometry in cropped], [400, 500, 600])
    assert max(max(geometry.output_size) for geometry in drawn) <= 1333
    both = stats.contingency.crosstab([g.flip for g in drawn], [g.crop_size is None for g in drawn]).count
    assert stats.chi2_contingency(both).pvalue > 1e-3, "flip and crop are independent"


@pytest.mark.parametrize(("short_edge", "size"), [(400, (400, 533)), (500, (500, 667)), (600, (600, 800))])
def test_crops_are_uniform_in_size_and_place(drawn: list[Geometry], short_edge: int, size: tuple[int, int]):
    """Sides from 384 to 600 pixels as far as the photo reaches, then any place."""
    boxes = np.array([geometry.crop_box for geometry in drawn if geometry.crop_size == size])
    assert len(boxes) > 1000
    for axis in range(2):
        largest = min(size[axis], 600)
        sides = boxes[:, 2 + axis]
        assert sides.min() >= 384
        assert sides.max() <= largest
        share = (sides - 384 + np.random.default_rng(0).random(len(sides))) / (largest - 384 + 1)
        assert stats.kstest(share, "uniform").pvalue > 1e-3
        room = size[axis] - sides
        place = (boxes[:, axis] + np.random.default_rng(1).random(len(sides))) / (room + 1)
        assert stats.kstest(place, "uniform").pvalue > 1e-3


# --- polygons --------------------------------------------------------------------------------------------------------


def move_polygon(geometry: Geometry, polygon: list[float]) -> list[np.ndarray]:
    points = np.array(polygon).reshape(-1, 2)
    return geometry.apply_to_polygons(Polygons(points, np.array([len(points)]), np.array([0])), SIZE).split()


def apply_to_polygon(geometry: Geometry, polygon: list[float]) -> np.ndarray:
    parts = move_polygon(geometry, polygon)
    masks = [to_mask([part.ravel().tolist()], *geometry.output_size) for part in parts]
    return np.any(masks, axis=0) if masks else np.zeros(geometry.output_size, bool)


CROP = Geometry(False, SIZE, (20, 30, 40, 50), (40, 50))  # rows 20 to 59, columns 30 to 79
BOW_TIE = [40, 30, 70, 50, 70, 30, 40, 50]


def test_polygon_and_mask_move_together():
    for seed in range(60):
        geometry, generator = draw_geometry(seed)
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        center, radius = generator.uniform((30, 30), (90, 60)), generator.uniform(10, 25, 2)
        polygon = (center + radius * np.stack([np.cos(angles), np.sin(angles)], -1)).ravel().tolist()
        moved = apply_to_polygon(geometry, polygon)
        expected = geometry.apply_to_mask(to_mask([polygon], *SIZE)).astype(bool)
        if expected.sum() > 200:
            assert (moved & expected).sum() / (moved | expected).sum() > 0.9


def test_crop_cuts_a_polygon_to_what_the_mask_would_be():
    polygon = [10, 10, 60, 10, 60, 50, 10, 50]
    assert (apply_to_polygon(CROP, polygon) == to_mask([polygon], *SIZE)[20:60, 30:80]).all()


def test_crop_between_the_arms_of_a_polygon_leaves_nothing():
    arms = [20, 10, 90, 10, 90, 15, 25, 15, 25, 70, 20, 70]
    assert move_polygon(CROP, arms) == []


def test_crop_may_leave_several_parts():
    comb = [30, 10, 80, 10, 80, 40, 70, 40, 70, 15, 40, 15, 40, 40, 30, 40]
    assert len(move_polygon(CROP, comb)) == 2


def test_polygon_that_crosses_itself_keeps_both_lobes_in_a_crop():
    """detectron2's repair of such polygons loses one."""
    moved = apply_to_polygon(CROP, BOW_TIE)
    expected = to_mask([BOW_TIE], *SIZE)[20:60, 30:80].astype(bool)
    assert (moved ^ expected).sum() <= 0.1 * expected.sum()


def test_whole_numbers_are_not_cut_to_whole_numbers():
    """detectron2 resizes polygons of integers in integers."""
    geometry = Geometry(False, None, (0, 0, *SIZE), (135, 180))
    corners = np.array([[1, 1], [11, 1], [11, 11], [1, 11]])
    np.testing.assert_allclose(move_polygon(geometry, corners.ravel().tolist())[0], corners * 1.5)
