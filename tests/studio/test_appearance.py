"""Distances of color and texture: nothing for a copy, much for other colors or patterns, each for its own kind."""

from __future__ import annotations

import numpy as np
import pytest

from vclr.studio.appearance import Appearance


def patterned(period: int, direction: int = 0, low: int = 60, high: int = 180) -> np.ndarray:
    """Return stripes, (64, 96, 3) uint8."""
    place = np.indices((64, 96))[direction] // period % 2
    return np.repeat((low + (high - low) * place)[..., None], 3, axis=2).astype(np.uint8)


def distances(image: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    one, two = Appearance(image), Appearance(other)
    assert two.color_distance(one) == pytest.approx(one.color_distance(two))
    assert two.texture_distance(one) == pytest.approx(one.texture_distance(two))
    return one.color_distance(two), one.texture_distance(two)


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (61, 33)])
def test_a_copy_has_no_distance(size: tuple[int, int]):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    assert distances(image, image) == (0.0, 0.0)


def test_black_and_white_are_one_apart_and_their_plain_texture_is_equal():
    color, texture = distances(np.zeros((32, 32, 3), np.uint8), np.full((32, 32, 3), 255, np.uint8))
    assert color == pytest.approx(1.0, abs=1e-3)
    assert texture == 0.0


def test_other_colors_are_no_texture_and_other_patterns_no_color():
    stripes = patterned(4)
    reddish = stripes.copy()
    reddish[..., 0] += 60
    color, texture = distances(stripes, reddish)
    assert color > 0.1 and texture < 0.05
    color, texture = distances(stripes, patterned(4, direction=1))
    assert color < 0.01 and texture > 0.3
    color, texture = distances(stripes, np.full_like(stripes, 120))
    assert color < 0.02 and texture > 0.8


def test_dark_and_light_swapped_is_the_same_pattern():
    stripes = patterned(6)
    assert distances(stripes, 255 - stripes)[1] < 0.01


def test_faint_noise_is_hardly_a_texture():
    plain = np.full((64, 64, 3), 120, np.uint8)
    noisy = plain + np.random.default_rng(0).integers(0, 3, plain.shape).astype(np.uint8)
    assert distances(plain, noisy)[1] < 0.25
