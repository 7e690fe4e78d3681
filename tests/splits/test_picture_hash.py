"""Hashes of photos: copies are found, however they were changed, and no two photos are taken for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from tests.shared import PHOTOS
from vclr.pictures import list_images, open_image
from vclr.splits.picture_hash import DECODED_SIZE, MAX_COARSE, coarse_distance, find_copies, hash_picture

needs_photos = pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED for photos")


def hash_file(path: Path) -> np.ndarray:
    found = hash_picture(open_image(path, at_least=DECODED_SIZE))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def hashes() -> np.ndarray:
    """Hashes of the 100 photos and of their mirror images: (100, 2, 40)."""
    return np.stack([hash_file(path) for path in list_images(PHOTOS / "images")])


def halve(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2))


def crop(image: Image.Image, share: float) -> Image.Image:
    width, height = round(image.width * share), round(image.height * share)
    return image.crop((width, height, image.width - width, image.height - height))


# What is done to a photo, the quality of the JPEG then, and in how many of 100 it must be found.
COPIES: dict[str, tuple[Callable[[Image.Image], Image.Image], int, int]] = {
    "quality 50": (lambda image: image, 50, 100),
    "half the size": (halve, 90, 100),
    "cropped by 1 % on each side": (lambda image: crop(image, 0.01), 90, 100),
    "cropped by 2 % on each side": (lambda image: crop(image, 0.02), 90, 90),
    "5 % brighter": (lambda image: ImageEnhance.Brightness(image).enhance(1.05), 90, 100),
    "10 % brighter": (lambda image: ImageEnhance.Brightness(image).enhance(1.1), 90, 95),
    "10 % darker": (lambda image: ImageEnhance.Brightness(image).enhance(0.9), 90, 100),
    "gray": (ImageOps.grayscale, 90, 100),
    "mirrored": (ImageOps.mirror, 90, 100),
    "mirrored, half the size, quality 50": (lambda image: halve(ImageOps.mirror(image)), 50, 100),
}


@needs_photos
@pytest.mark.parametrize("copy", COPIES)
def test_copies_of_photos_are_found(tmp_path: Path, hashes: np.ndarray, copy: str):
    change, quality, num_found = COPIES[copy]
    copies = []
    for path in list_images(PHOTOS / "images"):
        change(open_image(path)).save(tmp_path / "copy.jpg", quality=quality)
        copies.append(hash_file(tmp_path / "copy.jpg")[int("mirrored" in copy)])
    found = {(first, second) for first, second, _ in find_copies(np.stack(copies), hashes[:, 0])}
    assert len(found) >= num_found
    assert all(first == second for first, second in found), "a copy of another photo"


@needs_photos
def test_no_two_photos_are_copies(hashes: np.ndarray):
    """Not even nearly: the coarse hash alone would tell them apart."""
    assert {(first, second) for first, second, _ in find_copies(hashes[:, 0], hashes[:, 0])} == {
        (number, number) for number in range(100)
    }
    assert list(find_copies(hashes[:, 1], hashes[:, 0])) == []
    apart = [
        coarse_distance(hashes[i, version], hashes[j, 0]) for version in (0, 1) for i in range(100) for j in range(i)
    ]
    assert min(apart) >= MAX_COARSE + 5


@needs_photos
def test_mirror_image_of_the_mirror_image_is_the_photo(tmp_path: Path, hashes: np.ndarray):
    image = open_image(list_images(PHOTOS / "images")[0])
    straight, mirrored = (hash_picture(picture) for picture in (image, ImageOps.mirror(image)))
    assert straight is not None and mirrored is not None
    assert np.array_equal(straight, mirrored[::-1])


def test_photo_turned_by_exif_is_hashed_upright(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((320, 240), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    image.save(tmp_path / "upright.jpg", quality=95)
    image.rotate(90, expand=True).save(tmp_path / "turned.jpg", quality=95, exif=exif)
    first, second = (hash_file(tmp_path / name)[0] for name in ("upright.jpg", "turned.jpg"))
    assert coarse_distance(first, second) <= 1


@pytest.mark.parametrize("level", [0, 90, 255])
def test_blank_pictures_have_no_hash(level: int):
    assert hash_picture(Image.fromarray(np.full((40, 60, 3), level, np.uint8))) is None


def test_search_is_the_same_as_bit_by_bit(monkeypatch: pytest.MonkeyPatch):
    numbers = np.random.default_rng(0)
    first = numbers.integers(0, 256, (50, 40), dtype=np.uint8)
    others = first[numbers.integers(0, 50, 300)].copy()
    for row in others:  # up to 16 of the coarse bits and 60 of the fine ones turned
        for start, stop, most in ((0, 64, 16), (64, 320, 60)):
            bits = np.unpackbits(row)
            bits[numbers.choice(np.arange(start, stop), numbers.integers(most), replace=False)] ^= 1
            row[:] = np.packbits(bits)
    expected = set()
    for i, mine in enumerate(first):
        for j, other in enumerate(others):
            differ = np.unpackbits(mine ^ other)
            if differ[:64].sum() <= 8 and differ[64:].sum() <= 40:
                expected.add((i, j, int(differ[:64].sum())))
    assert 20 < len(expected) < 200
    for block in (1 << 24, 64, 1):
        monkeypatch.setattr("vclr.splits.picture_hash.MAX_BLOCK", block)
        assert set(find_copies(first, others)) == expected


@pytest.mark.slow
def test_a_set_of_coco_s_size_is_searched():
    """118 287 photos against 5 000."""
    numbers = np.random.default_rng(0)
    evaluation = numbers.integers(0, 256, (5_000, 40), dtype=np.uint8)
    training = numbers.integers(0, 256, (118_287, 40), dtype=np.uint8)
    training[[7, 118_000]] = evaluation[[4_999, 3]]
    assert {(4_999, 7, 0), (3, 118_000, 0)} == set(find_copies(evaluation, training))
