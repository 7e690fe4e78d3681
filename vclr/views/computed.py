"""Views of a photo that need no weights: they keep its geometry and change its appearance.

v-CLR (section 3 of the paper) shows the student depth maps and art-stylized copies, which take large pretrained
models to make. These five views follow the same idea with arithmetic alone:

| view | what stays | what changes |
|---|---|---|
| edge | outlines | all color and shading |
| palette | areas of like color | which colors they are, and whether light stays light |
| fourier | phase, fine detail | large-scale color and light, taken from another photo |
| random_conv | shapes | local texture and color, through a random filter |
| pseudo_depth | regions | everything but a guess of how near each region is |

Images are (h, w, 3) uint8 RGB, in and out. The bytes of a view depend on the image, the seed and the image id alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import scipy.fft
import torch
import torch.nn.functional as F
from numpy.random import Generator

from vclr.catalog.views import COMPUTED_VIEWS as COMPUTED_VIEWS
from vclr.errors import UsageError, nearest
from vclr.views.pseudo_depth import colorize_depth, estimate_nearness

LUMINANCE = np.array([0.299, 0.587, 0.114])


def render_view(
    view: str, image: np.ndarray, seed: int, image_id: int | str, draw_other: Callable[[Generator], np.ndarray]
) -> np.ndarray:
    """Render one of `COMPUTED_VIEWS`.

    Args:
        view: its name.
        image: (h, w, 3) uint8 RGB.
        seed: of the experiment.
        image_id: what tells this image from others; 7 and "7" are the same image.
        draw_other: draws another photo, (h', w', 3) uint8 of any size, with the generator it is given; only `fourier`
            calls it.

    Returns:
        (h, w, 3) uint8.

    Raises:
        UsageError: no such view.
    """
    check_view(view)
    random = view_generator(view, seed, image_id)
    match view:
        case "edge":
            return draw_edges(image)
        case "palette":
            return swap_palette(image, random)
        case "fourier":
            return swap_amplitude(image, draw_other(random), random)
        case "random_conv":
            return filter_randomly(image, random)
        case _:
            return colorize_depth(estimate_nearness(image))


def check_view(view: str) -> None:
    """Raise a UsageError that names the nearest view if `view` is not one of `COMPUTED_VIEWS`."""
    if view not in COMPUTED_VIEWS:
        near = nearest(view, COMPUTED_VIEWS)
        raise UsageError(f"unknown view {view!r}; nearest: {near} (computed views: {', '.join(COMPUTED_VIEWS)})")


def view_generator(view: str, seed: int, image_id: int | str) -> Generator:
    """Return the random generator of one image in one view, the same in every process and on every machine."""
    digest = hashlib.sha256(f"{seed}/{view}/{image_id}".encode()).digest()
    return np.random.default_rng(np.random.SeedSequence(int.from_bytes(digest, "big")))


def draw_edges(image: np.ndarray) -> np.ndarray:
    """Draw the Sobel gradient of the strongest channel, white on black; the strongest hundredth saturates."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge").astype(np.int32)
    down = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    across = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    squares = (down[:, 2:] - down[:, :-2]) ** 2 + (across[2:] - across[:-2]) ** 2
    strength = np.sqrt(squares.max(axis=2).astype(np.float32))
    # The floor of 40 (of 1020) keeps the noise of a blank image from being stretched to full contrast.
    white = max(float(np.percentile(strength, 99)), 40.0)
    return _to_bytes(np.repeat((strength * (255 / white))[..., None], 3, axis=2))


def swap_palette(image: np.ndarray, random: Generator) -> np.ndarray:
    """Quantize the colors coarsely and give each a random hue.

    The order of luminance is kept, or reversed as a whole, by the toss of a coin: so shading stays smooth, a gradient
    in the sky does not fall into loud stripes, and yet neither hue nor brightness tells what a thing is.
    """
    offsets = random.integers(0, 64, 3)  # where the borders between the colors lie
    levels = (image.astype(np.int32) + offsets) >> 6  # 0 ... 4
    codes = levels[..., 0] * 25 + levels[..., 1] * 5 + levels[..., 2]
    return _random_palette(random)[codes]


def _random_palette(random: Generator) -> np.ndarray:
    """Return a color for each of the 125 cells, (125, 3) uint8, with luminances in the order of the cells' own."""
    cells = np.stack(np.meshgrid(*[np.arange(5)] * 3, indexing="ij"), axis=-1).reshape(125, 3)
    order = np.argsort(cells @ LUMINANCE, kind="stable")
    if random.random() < 0.5:
        order = order[::-1]
    steps = np.cumsum(random.exponential(size=125))
    luminance = np.empty((125, 1))
    luminance[order, 0] = 0.06 + 0.88 * steps / steps[-1]
    colors = random.random((125, 3))
    own = (colors @ LUMINANCE)[:, None]
    darker = colors * luminance / own
    lighter = 1 - (1 - colors) * (1 - luminance) / (1 - own)
    return _to_bytes(255 * np.where(luminance < own, darker, lighter))


def swap_amplitude(image: np.ndarray, other: np.ndarray, random: Generator) -> np.ndarray:
    """Give the image the low-frequency Fourier amplitudes of another photo and keep its own phases.

    The cut lies at a random frequency between 2 and 8 percent of the shorter side, and never below 1 cycle an image.
    Spectra are compared cycle by image cycle, so the other photo may have another size: that equals resizing it.
    """
    spectrum, donor = _spectrum(image), _spectrum(other)
    shortest = min(*image.shape[:2], *other.shape[:2])
    # Above half of the shortest side the two spectra hold different frequencies.
    cut = min(max(1, round(shortest * random.uniform(0.02, 0.08))), (shortest - 1) // 2)
    gain = (image.shape[0] * image.shape[1]) / (other.shape[0] * other.shape[1])
    for rows in (slice(0, cut + 1), slice(-cut, None) if cut else slice(0, 0)):
        low = spectrum[:, rows, : cut + 1]
        amplitude = np.abs(donor[:, rows, : cut + 1]) * gain
        spectrum[:, rows, : cut + 1] = amplitude * np.exp(1j * np.angle(low))
    pixels = scipy.fft.irfft2(spectrum, s=image.shape[:2])
    return _to_bytes(pixels.transpose(1, 2, 0))


def _spectrum(image: np.ndarray) -> np.ndarray:
    """Return the Fourier transform of each channel, (3, h, w // 2 + 1) complex64."""
    channels = np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32)
    return scipy.fft.rfft2(channels)  # type: ignore[no-any-return]


def filter_randomly(image: np.ndarray, random: Generator) -> np.ndarray:
    """Convolve with a random kernel that mixes the channels (Xu et al., ICLR 2021), then restore a viewable contrast.

    The weights are whole numbers, small enough that every sum is exact in float32: the order of the additions, which
    differs between processors, then does not change a byte.
    """
    size = int(random.choice([1, 3, 5, 7]))
    weights = np.clip(np.rint(128 * random.standard_normal((3, 3, size, size))), -384, 384)
    pixels = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
    padded = F.pad(pixels, (size // 2,) * 4, mode="replicate")
    response = F.conv2d(padded, torch.from_numpy(weights.astype(np.float32)))[0].numpy().astype(np.float64)
    response -= np.rint(response.mean(axis=(1, 2), keepdims=True))
    spread = np.abs(response).mean(axis=(1, 2), keepdims=True)
    return _to_bytes((127.5 + 45 * response / np.maximum(spread, 1)).transpose(1, 2, 0))


def _to_bytes(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
