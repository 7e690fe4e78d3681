"""Whether coordinates belong to the upright photo or to its stored pixels, and how to turn them upright.

Tools in a browser annotate the photo as it is shown, turned by its EXIF data. Others read the stored pixels. The size
in the export tells which, if the orientation exchanges width and height.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from vclr.pictures import LYING, UPRIGHT, ImageHeader


def is_stored_size(header: ImageHeader, width: int, height: int) -> bool:
    """Tell whether a size is that of the stored pixels and not that of the upright photo."""
    is_upright = (header.width, header.height) == (width, height)
    return header.orientation in LYING and not is_upright and (header.height, header.width) == (width, height)


def turn_points(points: np.ndarray, header: ImageHeader) -> np.ndarray:
    """Turn (n, 2) points (x, y) of the stored pixels of a lying photo upright."""
    y, x = points.T  # the axes change places in all four orientations
    if header.orientation in (6, 7):
        x = header.width - x
    if header.orientation in (7, 8):
        y = header.height - y
    return np.stack([x, y], axis=1)


def turn_mask(mask: np.ndarray, header: ImageHeader) -> np.ndarray:
    """Turn an (h, w) uint8 mask of the stored pixels of a lying photo upright."""
    return np.asarray(Image.fromarray(mask).transpose(UPRIGHT[header.orientation]))
