"""Corruption: what each noise does to an image, and that it comes from the generator alone."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import stats

from vclr.config import CorruptConfig
from vclr.data.corrupt import _draw_mix, _draw_rectangle, corrupt, erase, grayscale, mix

MEAN, STD = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1), torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)


def apply(images: torch.Tensor, seed: int = 0, **config: bool) -> torch.Tensor:
    sizes = [(images.shape[2], images.shape[3])] * len(images)
    return corrupt(images, sizes, CorruptConfig(**config), MEAN, STD, *make_generators(len(images), seed))


def make_generators(num_images: int, seed: int) -> tuple[list[torch.Generator], list[torch.Generator]]:
    of_images = [torch.Generator().manual_seed(100 * seed + number) for number in range(num_images)]
    return [torch.Generator().manual_seed(seed) for _ in range(num_images)], of_images


def test_all_off_changes_nothing():
    images = torch.randn(2, 3, 16, 24)
    assert torch.equal(apply(images, mix=False, erase=False, grayscale=False), images)


def test_noise_depends_on_the_generator_alone_and_spares_the_original():
    images = torch.randn(2, 3, 16, 24)
    before = images.clone()
    torch.manual_seed(0)
    first = apply(images)
    torch.manual_seed(1)
    assert torch.equal(apply(images), first)
    assert torch.equal(images, before)
    assert not torch.equal(apply(images, seed=1), first)


def test_erased_share_is_between_two_and_thirty_four_percent():
    for seed in range(60):
        erased = apply(torch.ones(1, 3, 64, 96), seed, mix=False, grayscale=False) == 0
        assert 0.015 < erased[0, 0].float().mean() < 0.35
        rows, columns = erased[0, 0].any(1).sum(), erased[0, 0].any(0).sum()
        assert erased[0, 0].sum() == rows * columns, "one rectangle"
        assert columns >= rows


def test_erase_is_one_rectangle():
    image = erase(torch.ones(3, 8, 8), top=2, left=3, height=4, width=5)
    assert image.sum() == 3 * (64 - 20)
    assert (image[:, 2:6, 3:8] == 0).all()


def test_mix_with_its_own_patch():
    """The patch of a constant image is the image; half and half of an image and its bright corner is their mean."""
    constant = torch.full((3, 16, 16), 2.0)
    torch.testing.assert_close(mix(constant, 3, 4, 0.6), constant)
    image = torch.zeros(3, 16, 16)
    image[:, :2, :2] = 1.0
    torch.testing.assert_close(mix(image, 0, 0, 0.5)[:, 8, 8], torch.full((3,), 0.5))
    assert torch.equal(mix(image, 0, 0, 1.0), image)


def test_gray_pixels_have_one_value_and_gray_stays_gray():
    images = grayscale(torch.randn(2, 3, 4, 4), MEAN, STD) * STD + MEAN
    torch.testing.assert_close(images[:, 0], images[:, 1])
    torch.testing.assert_close(images[:, 0], images[:, 2])
    torch.testing.assert_close(grayscale((images - MEAN) / STD, MEAN, STD) * STD + MEAN, images, rtol=1e-4, atol=1e-3)


def test_half_of_the_batches_turn_gray():
    images = torch.randn(1, 3, 4, 4)
    gray = sum(not torch.equal(apply(images, seed, mix=False, erase=False), images) for seed in range(200))
    assert 70 < gray < 130


def test_images_of_equal_generators_turn_gray_together_and_their_padding_too():
    """The others keep their colors, and zeros as padding."""
    images = torch.randn(4, 3, 8, 8)
    images[:, :, 6:] = 0
    of_gray = [torch.Generator().manual_seed(seed) for seed in (0, 0, 1, 1)]
    is_gray = [float(torch.rand((), generator=torch.Generator().manual_seed(seed))) < 0.5 for seed in (0, 1)]
    assert is_gray == [True, False]
    config, sizes = CorruptConfig(mix=False, erase=False), [(6, 8)] * 4
    corrupted = corrupt(images, sizes, config, MEAN, STD, of_gray, make_generators(4, 0)[1])
    for pair, gray in zip((slice(0, 2), slice(2, 4)), is_gray, strict=True):
        assert torch.equal(corrupted[pair], grayscale(images[pair], MEAN, STD) if gray else images[pair])
        assert bool((corrupted[pair, :, 6:] == 0).all()) is not gray


def test_tiny_images_survive():
    for size in ((1, 1), (2, 9), (7, 3)):
        for seed in range(10):
            assert apply(torch.randn(1, 3, *size), seed).isfinite().all()


def test_padding_stays_out_of_it():
    """Patch, rectangle and blend are of the image's own size; what lies beyond keeps its zeros."""
    images = torch.ones(2, 3, 48, 64)
    images[1, :, 20:], images[1, :, :, 30:] = 0, 0
    for seed in range(40):
        config = CorruptConfig(grayscale=False)
        corrupted = corrupt(images, [(48, 64), (20, 30)], config, MEAN, STD, *make_generators(2, seed))
        assert (corrupted[1, :, 20:] == 0).all()
        assert (corrupted[1, :, :, 30:] == 0).all()
        share = (corrupted[1, 0, :20, :30] == 0).float().mean()
        assert 0.01 < share < 0.36, "of the image, not of the padded batch"


# --- the published distributions -------------------------------------------------------------------------------------

SIZE = (480, 640)


def test_patches_and_ratios_are_uniform():
    generator = torch.Generator().manual_seed(0)
    drawn = np.array([_draw_mix(*SIZE, generator) for _ in range(4000)])
    tops, lefts, ratios = drawn.T
    for corner, side in ((tops, SIZE[0]), (lefts, SIZE[1])):
        assert corner.min() >= 0
        assert corner.max() < side - side // 8, "the last place is never drawn"
        assert (
            stats.kstest((corner + np.random.default_rng(0).random(4000)) / (side - side // 8), "uniform").pvalue > 1e-3
        )
    assert stats.kstest(ratios, stats.uniform(0.5, 0.5).cdf).pvalue > 1e-3


def test_rectangles_are_uniform_in_area_log_aspect_and_place():
    generator = torch.Generator().manual_seed(0)
    drawn = np.array([_draw_rectangle(*SIZE, generator) for _ in range(4000)])
    tops, lefts, heights, widths = drawn.T
    area, aspect = heights * widths / math.prod(SIZE), heights / widths
    assert stats.kstest(area, stats.uniform(0.02, 1 / 3 - 0.02).cdf).statistic < 0.03
    log_aspect = stats.uniform(math.log(0.3), math.log(0.7) - math.log(0.3))
    assert stats.kstest(np.log(aspect), log_aspect.cdf).statistic < 0.03
    for corner, side, room in ((tops, heights, SIZE[0]), (lefts, widths, SIZE[1])):
        assert (corner + side <= room).all()
        share = (corner + np.random.default_rng(0).random(4000)) / (room - side + 1)
        assert stats.kstest(share, "uniform").pvalue > 1e-3


def test_a_rectangle_that_does_not_fit_has_half_the_sides():
    """Wide rectangles do not fit into a tall image."""
    generator = torch.Generator().manual_seed(0)
    drawn = [_draw_rectangle(400, 40, generator) for _ in range(200)]
    assert (200, 20) in {(height, width) for _, _, height, width in drawn}
    assert all(width < 40 for *_, width in drawn)
