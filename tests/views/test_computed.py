"""Computed views: right size, reproducible, and each keeps and changes what it says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator
from scipy import ndimage

from vclr.catalog.views import RENDERED
from vclr.errors import UsageError, UserError
from vclr.views import edge, fourier, gray, palette, random_conv, random_texture, shuffled_patch
from vclr.views.computed import render_view, view_generator
from vclr.views.palette import LUMINANCE
from vclr.views.pseudo_depth import colorize_depth, estimate_nearness

RANDOM_VIEWS = ("palette", "fourier", "random_conv", "random_texture", "shuffled_patch")


def photo(height: int, width: int, seed: int = 0, low: int = 0, high: int = 256) -> np.ndarray:
    """Return a read-only picture with coarse and fine structure, as an image file gives it."""
    random = np.random.default_rng(seed)
    coarse = ndimage.zoom(random.random((4, 4, 3)), (height / 4, width / 4, 1), order=1, grid_mode=True, mode="nearest")
    picture = low + (high - low) * (0.8 * coarse + 0.2 * random.random((height, width, 3)))
    image = picture.astype(np.uint8)
    image.flags.writeable = False
    return image


def draw_from(*images: np.ndarray) -> Callable[[Generator], np.ndarray]:
    return lambda random: images[int(random.integers(len(images)))]


def draw_edges(image: np.ndarray) -> np.ndarray:
    return edge.render(image, np.random.default_rng(0), draw_from(image))


def luminance(image: np.ndarray) -> np.ndarray:
    return image.astype(float) @ LUMINANCE


@pytest.mark.parametrize("view", RENDERED)
@pytest.mark.parametrize("size", [(37, 53), (48, 32), (1, 1), (1, 7), (2, 3)])
def test_a_view_has_the_size_of_its_photo(view: str, size: tuple[int, int]) -> None:
    image = photo(*size)
    rendered = render_view(view, image, 0, "a", draw_from(photo(20, 31, seed=1)))
    assert rendered.shape == image.shape
    assert rendered.dtype == np.uint8


@pytest.mark.parametrize("view", RENDERED)
def test_a_view_depends_on_seed_and_image_id_alone(view: str) -> None:
    image, draw_other = photo(40, 60), draw_from(*[photo(30, 30, seed=seed) for seed in range(1, 9)])
    first = render_view(view, image, 3, 17, draw_other)
    assert np.array_equal(first, render_view(view, image, 3, "17", draw_other))
    others = [render_view(view, image, 3, 18, draw_other), render_view(view, image, 4, 17, draw_other)]
    assert [not np.array_equal(first, other) for other in others] == [view in RANDOM_VIEWS] * 2


def test_the_random_numbers_of_an_image_never_change() -> None:
    """Views on disk and views computed later, in another process, must be the same."""
    assert view_generator("palette", 0, "000000000139").integers(0, 1000, 5).tolist() == [867, 735, 16, 559, 618]


def test_an_unknown_view_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"'palete'; nearest: palette"):
        render_view("palete", photo(8, 8), 0, 0, draw_from(photo(8, 8)))


@pytest.mark.parametrize("change", [lambda image: image[:-1], lambda image: image / 255])
def test_a_view_of_another_size_or_type_is_refused(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    monkeypatch.setattr(edge, "render", lambda image, random, draw_photo: change(image))
    with pytest.raises(UserError, match=r"view edge: vclr/views/edge.py rendered .* from a photo \(8, 9, 3\) uint8"):
        render_view("edge", photo(8, 9), 0, 0, draw_from(photo(8, 8)))


def test_edges_are_where_the_color_changes_and_nowhere_else() -> None:
    image = np.full((20, 30, 3), 90, np.uint8)
    assert not draw_edges(image).any()
    image[:, 12:] = (90, 90, 200)
    columns = np.flatnonzero(draw_edges(image).any(axis=(0, 2)))
    assert columns.tolist() == [11, 12]
    assert np.array_equal(draw_edges(image), draw_edges(255 - image))


def test_a_palette_keeps_areas_of_one_color_and_the_order_of_luminance() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    directions = set()
    for seed in range(12):
        image = np.concatenate([ramp, ramp[:, ::-1]])
        result = palette.render(image, np.random.default_rng(seed), draw_from(image))
        assert np.array_equal(result[0], result[1, ::-1])
        steps = np.diff(luminance(result[0]))
        steps[np.abs(steps) <= 1] = 0  # colors are rounded to bytes
        assert (steps >= 0).all() or (steps <= 0).all()
        assert 4 <= len(np.unique(result[0], axis=0)) <= 13  # each channel crosses three or four borders
        directions.add(bool(steps.sum() > 0))
    assert directions == {True, False}


def test_the_amplitudes_of_the_photo_itself_change_nothing() -> None:
    image = photo(45, 64)
    result = fourier.render(image, np.random.default_rng(0), lambda _: image)
    assert np.abs(result.astype(int) - image).max() <= 1


@pytest.mark.parametrize("size", [(45, 64), (90, 128), (33, 21)])
def test_amplitudes_come_from_the_other_photo_and_phases_stay(size: tuple[int, int]) -> None:
    # Low contrast, so that nothing is clipped and the spectra can be compared.
    image, other = photo(45, 64, low=110, high=130), photo(*size, seed=5, low=130, high=160)
    result = fourier.render(image, np.random.default_rng(0), lambda _: other)
    assert result.mean(axis=(0, 1)) == pytest.approx(other.mean(axis=(0, 1)), abs=0.5)
    before, after, donor = (np.fft.fft2(picture[..., 0]) / picture[..., 0].size for picture in (image, result, other))
    assert np.allclose(after[10:35, 10:55], before[10:35, 10:55], atol=0.05)
    assert np.angle(after[0, 1]) == pytest.approx(np.angle(before[0, 1]), abs=0.1)
    assert np.abs(after[:2, 1]) == pytest.approx(np.abs(donor[:2, 1]), abs=0.1)


def test_a_random_filter_agrees_with_a_second_implementation() -> None:
    image = photo(24, 31)
    for seed in range(6):
        random = np.random.default_rng(seed)
        size = random.choice([1, 3, 5, 7])
        weights = np.clip(np.rint(128 * random.standard_normal((3, 3, size, size))), -384, 384).astype(np.int64)
        channels = image.transpose(2, 0, 1).astype(np.int64)
        sums = [
            sum(
                ndimage.correlate(channel, part, mode="nearest") for channel, part in zip(channels, kernel, strict=True)
            )
            for kernel in weights
        ]
        response = np.stack(sums, axis=-1).astype(float)
        response -= np.rint(response.mean(axis=(0, 1)))
        expected = np.clip(np.rint(127.5 + 45 * response / np.abs(response).mean(axis=(0, 1))), 0, 255)
        assert np.array_equal(random_conv.render(image, np.random.default_rng(seed), draw_from(image)), expected)


def test_what_stands_lower_is_nearer_and_an_object_has_one_depth() -> None:
    image = np.full((120, 160, 3), 200, np.uint8)
    image[20:50, 20:60] = image[70:100, 100:140] = (180, 30, 30)
    nearness = estimate_nearness(image)
    assert nearness.shape == (120, 160)
    assert nearness.min() >= 0
    assert nearness.max() <= 1
    far, near = nearness[25:45, 25:55], nearness[75:95, 105:135]
    assert near.min() > far.max()
    assert np.ptp(near) < 0.05 < near.min() - nearness[70:100, 20:60].max()


def test_depth_colors_grow_brighter_towards_the_viewer() -> None:
    colors = colorize_depth(np.linspace(0, 1, 200)[None])
    assert colors.dtype == np.uint8
    assert (np.diff(luminance(colors[0])) >= -1).all()
    assert luminance(colors[0, -1]) - luminance(colors[0, 0]) > 200
    assert np.array_equal(colorize_depth(np.array([[-3.0, 7.0]])), colorize_depth(np.array([[0.0, 1.0]])))


def test_gray_has_one_value_per_pixel_and_leaves_a_gray_photo_alone() -> None:
    image = photo(20, 31)
    shown = gray.render(image, np.random.default_rng(0), draw_from(image))
    assert (shown == shown[..., :1]).all()
    assert np.abs(shown[..., 0] - luminance(image)).max() <= 1
    assert np.array_equal(gray.render(shown, np.random.default_rng(0), draw_from(image)), shown)


@pytest.mark.parametrize("size", [(64, 96), (37, 53), (5, 70)])
def test_shuffled_patches_hold_the_same_pixels_in_other_places(size: tuple[int, int]) -> None:
    image = photo(*size)
    shown = shuffled_patch.render(image, np.random.default_rng(0), draw_from(image))
    height, width = (side // min(shuffled_patch.GRID, side) for side in size)
    assert not np.array_equal(shown, image)
    assert np.array_equal(np.sort(shown.reshape(-1, 3), axis=0), np.sort(image.reshape(-1, 3), axis=0))
    patches = [
        image[y : y + height, x : x + width] for y in range(0, size[0], height) for x in range(0, size[1], width)
    ]
    assert any(np.array_equal(shown[:height, :width], patch) for patch in patches), "a patch stays whole"


def test_random_textures_differ_between_regions_and_forget_color_and_shading() -> None:
    image = np.full((60, 80, 3), 40, np.uint8)
    image[15:45, 20:60] = (200, 60, 30)
    shown = random_texture.render(image, np.random.default_rng(3), draw_from(image)).astype(float)
    inside, outside = shown[20:40, 25:55].reshape(-1, 3), shown[:10].reshape(-1, 3)
    assert np.linalg.norm(inside.mean(axis=0) - outside.mean(axis=0)) > 20
    assert inside.std(axis=0).max() > 5, "flat in the photo, a pattern here"
    negative = 255 - image  # of the same regions
    assert np.array_equal(random_texture.render(negative, np.random.default_rng(3), draw_from(image)), shown)
