"""Boundaries of masks for Boundary IoU (Cheng et al. 2021): the pixels of a mask that are near its outline."""

from __future__ import annotations

import math

import numpy as np
from pycocotools import mask as coco_mask
from scipy.ndimage import minimum_filter

from vclr.coco.annotations import Json

RATIO = 0.02  # width of a boundary, as a share of the image's diagonal


def to_boundary(rle: Json) -> Json:
    """Return the boundary of a mask, both as compressed RLE of pycocotools; the image's border belongs to it."""
    width = max(1, round(RATIO * math.hypot(*rle["size"])))
    mask = coco_mask.decode(rle)
    left, top, columns, rows = map(int, coco_mask.toBbox(rle))
    part = mask[top : top + rows, left : left + columns]
    if part.size:  # this is an erosion by a 3 x 3 square, repeated `width` times
        part -= minimum_filter(part, 2 * width + 1, mode="constant", cval=0)
    boundary: Json = coco_mask.encode(np.asfortranarray(mask))
    return boundary
