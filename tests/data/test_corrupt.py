"""Corruption: what each noise does to an image, and that it comes from the generator alone."""

from __future__ import annotations

import torch

from vclr.config import CorruptConfig
from vclr.data.corrupt import corrupt, erase, grayscale, mix

MEAN, STD = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1), torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)


def apply(images: torch.Tensor, seed: int = 0, **config: bool) -> torch.Tensor:
    sizes = [(images.shape[2], images.shape[3])] * len(images)
    return corrupt(images, sizes, CorruptConfig(**config), MEAN, STD, torch.Generator().manual_seed(seed))


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


def test_tiny_images_survive():
    for size in ((1, 1), (2, 9), (7, 3)):
        for seed in range(10):
            assert apply(torch.randn(1, 3, *size), seed).isfinite().all()
