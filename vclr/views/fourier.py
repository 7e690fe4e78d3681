"""The view `fourier`: the phases of a photo with the large-scale color and light of another one."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.random import Generator

from vclr.views.computed import DrawPhoto, round_to_bytes


def render(image: np.ndarray, random: Generator, draw_photo: DrawPhoto) -> np.ndarray:
    """Give the image the low-frequency Fourier amplitudes of another photo and keep its own phases.

    The cut lies at a random frequency between 2 and 8 percent of the shorter side, and never below 1 cycle per image.
    Spectra are compared by cycles per image, so the other photo may have another size; this equals resizing it.
    """
    other = draw_photo(random)
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
    return round_to_bytes(pixels.transpose(1, 2, 0))


def _spectrum(image: np.ndarray) -> np.ndarray:
    """Return the Fourier transform of each channel, (3, h, w // 2 + 1) complex64."""
    channels = np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32)
    return scipy.fft.rfft2(channels)  # type: ignore[no-any-return]
