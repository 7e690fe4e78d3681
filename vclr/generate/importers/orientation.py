"""Whether coordinates belong to the upright photo or to its stored pixels, and how to turn them upright.

Tools in a browser annotate the photo as it is shown, turned by its EXIF data. Others read the stored pixels. The size
in the export tells which, if the orientation exchanges width and height.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from vclr.pictures import LYING, UPRIGHT, ImageHeader

UNCLEAR = "photos turned by their EXIF data, without a size that tells how they were annotated; taken as upright"


def is_stored_size(header: ImageHeader, width: int, height: int) -> bool:
    """Tell whether a size is that of the stored pixels and not that of the upright photo."""
    is_upright = (header.width, header.height) == (width, height)
    return header.orientation in LYING and not is_upright and (header.height, header.width) == (width, height)


def is_unclear(header: ImageHeader, size: tuple[Any, Any] | None) -> bool:
    """Tell whether a photo is turned by its EXIF data, and a size (width, height) does not tell how it was annotated.

    Without a size in the export, nothing tells.
    """
    return header.is_turned and (size is None or header.orientation not in LYING or header.width == header.height)


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
