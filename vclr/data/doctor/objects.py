"""Check whether the box, the mask and the area of an annotation fit each other and the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pycocotools import mask as coco_mask

from vclr.coco.annotations import Json, bbox_corners, to_rle
from vclr.data.doctor import kinds
from vclr.data.doctor.kinds import Kind

MAX_BEYOND = 1.0  # pixels by which rounding may move a box beyond the image
MAX_OFF = 3.0  # pixels between a box and the box around its mask
MAX_AREA_OFF = 0.05  # relative to the area of the mask
Corners = tuple[float, float, float, float]  # xyxy
SIZES = ((32**2, "small"), (96**2, "medium"), (float("inf"), "large"))  # COCO's sizes by area


def examine_object(annotation: Json, height: int, width: int) -> Iterator[tuple[Kind, str]]:
    """Yield the problems of an annotation that `CocoChecks` accepted, each with its measurements."""
    corners = bbox_corners(annotation["bbox"])
    inside = _clip(corners, height, width)
    beyond = _largest_difference(corners, inside)
    is_usable = inside[2] > inside[0] and inside[3] > inside[1]
    if not is_usable:
        yield kinds.OUTSIDE, f"box {annotation['bbox']} in an image of {width}x{height} px"
    elif max(annotation["bbox"][2:]) < 1:
        yield kinds.BELOW_PIXEL, "box is {2:g}x{3:g} px".format(*annotation["bbox"])
    elif beyond > MAX_BEYOND:
        yield kinds.PARTLY_OUTSIDE, f"box reaches {beyond:.1f} px beyond the image of {width}x{height} px"
    if annotation.get("segmentation") is not None:
        yield from _examine_mask(annotation, inside if is_usable else None, height, width)
    if annotation.get("area", 1) <= 0:
        yield (kinds.AREA_NEGATIVE if annotation["area"] < 0 else kinds.AREA_ZERO), f"area {annotation['area']:g}"


def _examine_mask(annotation: Json, box: Corners | None, height: int, width: int) -> Iterator[tuple[Kind, str]]:
    segmentation = annotation["segmentation"]
    is_outlined = isinstance(segmentation, list)
    rle = to_rle(segmentation, height, width)
    pixels = int(coco_mask.area(rle))
    if not pixels:
        yield (kinds.EMPTY_POLYGON if is_outlined else kinds.EMPTY_RLE), "the mask has no pixels"
        return
    if box is not None:
        around = bbox_corners(coco_mask.toBbox(rle).tolist())
        off = max(_largest_difference(box, around), _largest_difference(_sides(box), _sides(around)))
        if off > MAX_OFF:
            yield kinds.BOX_OFF, f"the box is off by {off:.1f} px"
    area = annotation.get("area", 0)
    # For a thin object, the areas of the outline and of its pixels differ; both are right.
    if area > 0 and _is_off(area, pixels) and not (is_outlined and not _is_off(area, _area_of(segmentation))):
        says = f"area is {area:g}, but the mask has {pixels} px"
        is_other = _size(area) != _size(pixels)
        yield kinds.AREA_OFF, says + (f" ({_size(area)} instead of {_size(pixels)})" if is_other else "")


def _clip(corners: Corners, height: int, width: int) -> Corners:
    left, top, right, bottom = corners
    return min(max(left, 0), width), min(max(top, 0), height), min(max(right, 0), width), min(max(bottom, 0), height)


def _sides(corners: Corners) -> tuple[float, float]:
    return corners[2] - corners[0], corners[3] - corners[1]


def _largest_difference(first: Sequence[float], second: Sequence[float]) -> float:
    return max(abs(one - other) for one, other in zip(first, second, strict=True))


def _is_off(area: float, own: float) -> bool:
    return abs(area - own) > MAX_AREA_OFF * own


def _area_of(polygons: list[list[float]]) -> float:
    area = 0.0
    for polygon in polygons:
        x, y = np.array(polygon, dtype=np.float64).reshape(-1, 2).T
        area += abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    return area


def _size(area: float) -> str:
    return next(name for limit, name in SIZES if area <= limit)
