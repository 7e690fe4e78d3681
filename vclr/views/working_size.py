"""The size at which a network sees a photo, and the way back to the photo's own."""

from __future__ import annotations

import numpy as np
from PIL import Image

from vclr.structures import Size

LEAST_SIDE = 16  # pixels; on less, the networks' borders would meet


def working_size(size: Size, max_size: int) -> Size:
    """Return the (height, width) to which a photo is reduced: its own, if its longer side is at most `max_size`.

    Only of a photo with a side under LEAST_SIDE, or one that would get such a side, the proportions change.
    """
    scale = min(1.0, max_size / max(size))
    height, width = (max(LEAST_SIDE, round(side * scale)) for side in size)
    return height, width


def resize(image: np.ndarray, size: Size) -> np.ndarray:
    """Resize an image, (h, w) or (h, w, 3) uint8, to another (height, width); its corners stay its corners."""
    if image.shape[:2] == tuple(size):
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BICUBIC))
