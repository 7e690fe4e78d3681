"""Boundaries: a copy agrees, a shift beyond the tolerance does not, and size and brightness do not count."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vclr.studio.edges import SIDE, find_edges, shrink
from vclr.studio.structure import Boundaries, mask_outlines, rank_of_own


def scene(seed: int, height: int = 120, width: int = 160) -> np.ndarray:
    """Return rectangles of random colors, (h, w, 3) uint8."""
    random = np.random.default_rng(seed)
    image = np.full((height, width, 3), random.integers(256, size=3), np.uint8)
    for _ in range(6):
        top, left = random.integers(height - 30), random.integers(width - 30)
        image[top : top + random.integers(15, 60), left : left + random.integers(15, 60)] = random.integers(256, size=3)
    return image


def square(left: int, size: tuple[int, int] = (60, 80)) -> np.ndarray:
    pixels = np.zeros(size, bool)
    pixels[20:40, left : left + 20] = True
    return pixels


def test_edges_lie_where_colors_meet():
    image = np.zeros((40, 60, 3), np.uint8)
    image[:, 30:, 1] = 200
    edges = find_edges(image)
    assert set(np.flatnonzero(edges.any(axis=0))) <= {29, 30}
    assert (edges.sum(axis=1) == 1).all()  # thin
    assert find_edges(image.astype(np.uint8) // 4)[20].sum() == 1  # a pale picture has the same edges
    assert not find_edges(np.full((40, 60, 3), 90, np.uint8)).any()
    noise = np.random.default_rng(0).integers(88, 92, (40, 60, 3)).astype(np.uint8)
    assert not find_edges(noise).any()


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 3), (20, 20)])
def test_tiny_pictures_have_edges_or_none(size: tuple[int, int]):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    edges = find_edges(shrink(image))
    assert edges.shape == size
    assert Boundaries(edges).agreement(Boundaries(edges)) == (1.0, 1.0)


def test_pictures_are_shrunk_to_one_size_and_never_enlarged():
    assert shrink(np.zeros((600, 800, 3), np.uint8)).shape == (240, SIDE, 3)
    assert shrink(np.zeros((50, 1000, 3), np.uint8)).shape == (16, SIDE, 3)
    assert shrink(np.zeros((20, 30, 3), np.uint8)).shape == (20, 30, 3)


def test_a_shift_within_the_tolerance_agrees_and_beyond_it_does_not():
    at = [Boundaries(mask_outlines([square(left)], (60, 80))) for left in (20, 21, 26)]
    assert at[0].agreement(at[0]) == (1.0, 1.0)
    assert at[1].agreement(at[0]) == (1.0, 1.0)  # 0.75 % of the diagonal is less than the least of one pixel
    assert at[2].agreement(at[0]).f_measure < 0.75


def test_what_is_missing_costs_recall_and_what_is_added_precision():
    one, both = (Boundaries(mask_outlines(masks, (60, 80))) for masks in ([square(10)], [square(10), square(50)]))
    assert one.agreement(both) == (pytest.approx(2 / 3), 0.5)
    assert both.agreement(one) == (pytest.approx(2 / 3), 1.0)


def test_nothing_agrees_with_nothing_alone():
    none, some = Boundaries(np.zeros((9, 9), bool)), Boundaries(np.eye(9, dtype=bool))
    assert none.agreement(none) == (1.0, 1.0)
    assert none.agreement(some) == some.agreement(none) == (0.0, 0.0)


def test_the_border_of_an_image_is_no_outline():
    assert not mask_outlines([np.ones((9, 9), bool)], (9, 9)).any()


def test_the_own_photo_ranks_first_whatever_the_sizes():
    photos = [Boundaries(find_edges(scene(seed))) for seed in range(5)]
    smaller = Image.fromarray(scene(0)).resize((120, 90), Image.Resampling.BOX)
    for view in (scene(0), 255 - scene(0), np.asarray(smaller)):
        edges = Boundaries(find_edges(view))
        assert rank_of_own(edges, edges.agreement(photos[0]).f_measure, photos[1:]) == 1.0
    wrong = Boundaries(find_edges(scene(1)))
    assert rank_of_own(wrong, wrong.agreement(photos[0]).f_measure, photos[1:2]) == 0.0
    assert rank_of_own(wrong, 0.5, []) is None
    blank = Boundaries(np.zeros((9, 9), bool))
    assert rank_of_own(blank, 0.0, photos) == 0.5
