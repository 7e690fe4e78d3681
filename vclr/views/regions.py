"""The regions of similar color in a photo, which views treat as if they were things."""

from __future__ import annotations

import numpy as np
from PIL import Image
from skimage.segmentation import felzenszwalb


def find_regions(image: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Shrink a photo (h, w, 3) uint8 to a longer side of at most `side` pixels, and find its regions there.

    Returns:
        The small photo (h', w', 3) uint8, and the number of each of its pixels' region (h', w').
    """
    height, width = image.shape[:2]
    factor = min(1.0, side / max(height, width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    return small, felzenszwalb(small, scale=150, sigma=0.8, min_size=40)
