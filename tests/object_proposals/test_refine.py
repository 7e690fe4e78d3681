"""Masks are brought from a coarse grid to the pixels of a photo, along its edges."""

from __future__ import annotations

import numpy as np
import pytest

from vclr.object_proposals.refine import filter_guided, refine_masks


def disk(height: int, width: int, radius: float) -> np.ndarray:
    rows, columns = np.ogrid[:height, :width]
    return (columns + 0.5 - width / 2) ** 2 + (rows + 0.5 - height / 2) ** 2 < radius**2  # type: ignore[no-any-return]


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_a_coarse_mask_follows_the_edges_of_the_photo() -> None:
    rng = np.random.default_rng(0)
    truth = disk(240, 320, 70)
    image = np.where(truth[..., None], (200, 80, 60), (60, 90, 160)) + rng.integers(-10, 11, (240, 320, 3))
    image = image.astype(np.uint8)
    coarse = truth.reshape(20, 12, 20, 16).mean(axis=(1, 3)) > 0.5
    (refined,) = refine_masks(image, coarse[None])
    (enlarged,) = refine_masks(np.full_like(image, 100), coarse[None])
    assert iou(refined, truth) > 0.97
    assert iou(refined, truth) > iou(enlarged, truth) + 0.02


def test_a_mask_that_is_linear_in_the_colors_stays_as_it_is() -> None:
    guide = np.random.default_rng(1).random((40, 50, 3)).astype(np.float32)
    masks = np.stack([guide @ np.float32([0.2, 0.5, 0.3]), 1 - guide[..., 0]])
    assert np.abs(filter_guided(guide, masks, 4) - masks).max() < 0.03


@pytest.mark.parametrize("size", [(1, 1), (20, 20), (7, 900), (640, 480)])
def test_masks_have_the_size_of_the_photo(size: tuple[int, int]) -> None:
    image = np.random.default_rng(2).integers(0, 256, (*size, 3)).astype(np.uint8)
    masks = refine_masks(image, np.ones((2, 6, 6), bool))
    assert masks.shape == (2, *size)
    assert masks.all()
    assert refine_masks(image, np.ones((0, 6, 6), bool)).shape == (0, *size)
