"""One polygon for a mask, which people can edit, if a polygon shows the mask well enough."""

from __future__ import annotations

import numpy as np
import shapely
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from vclr.coco.annotations import Json, to_rle

MIN_IOU = 0.95  # of the polygon and the mask, both in pixels
# The same if a tool also counts the pixels under the outline, as OpenCV, Pillow and labelme do: small objects double.
MIN_TOUCHED_IOU = 0.9
# How far the polygon may be from the edges of the pixels, tried in this order: a share of the object's longer side,
# which keeps the points of a large object few, or pixels.
SHARE, PIXELS = 1 / 300, (1.0, 0.5, 0.0)


def find_outline(mask: np.ndarray, rle: Json) -> list[float] | None:
    """Return a polygon [x, y, x, y, ...] for an (h, w) mask, with pixel edges at whole numbers as in COCO.

    It fills small holes and leaves out specks beside the object. If it then differs too much from the mask, because the
    mask has a large hole or several large parts, or is small, return None.

    Args:
        mask: not empty.
        rle: the same mask, compressed, `counts` as text.
    """
    largest = max(shapely.get_parts(_trace_pixels(mask)), key=lambda part: part.area)
    filled = shapely.Polygon(largest.exterior)
    height, width = mask.shape
    left, top, right, bottom = filled.bounds
    coarse = SHARE * max(right - left, bottom - top)
    for tolerance in (coarse, *PIXELS) if coarse > PIXELS[0] else PIXELS:
        points = shapely.get_coordinates(filled.simplify(tolerance))[:-1]
        polygon: list[float] = points.ravel().tolist()
        drawn = to_rle([polygon], height, width)
        is_close = coco_mask.iou([drawn], [to_rle(rle, height, width)], [0])[0, 0] >= MIN_IOU
        if is_close and _touched_iou(points, mask) >= MIN_TOUCHED_IOU:
            return polygon
    return None


def _trace_pixels(mask: np.ndarray) -> shapely.Geometry:
    """Return the area of a mask's pixels; parts that touch only at a corner are separate."""
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    rows, starts = np.nonzero(edges == 1)
    _, ends = np.nonzero(edges == -1)
    return shapely.union_all(shapely.box(starts, rows, ends, rows + 1))


def _touched_iou(points: np.ndarray, mask: np.ndarray) -> float:
    """Return the IoU of a mask and all pixels that a polygon touches."""
    picture = Image.new("1", (mask.shape[1], mask.shape[0]))
    ImageDraw.Draw(picture).polygon(list(map(tuple, points)), fill=1, outline=1)
    touched = np.asarray(picture)
    return float((touched & (mask > 0)).sum() / (touched | (mask > 0)).sum())
