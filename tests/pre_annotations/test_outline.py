"""A mask is one polygon only if the polygon shows it well, however a tool draws polygons."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.pre_annotations.made import SIZE, disk, iou, masks
from vclr.coco.annotations import encode_mask, to_mask
from vclr.pre_annotations.outline import find_outline


def outline(mask: np.ndarray) -> list[float] | None:
    return find_outline(mask.astype(np.uint8), encode_mask(mask))


def test_one_solid_part_is_a_polygon_and_others_are_not():
    assert [outline(mask) is not None for mask in masks()] == [True, False, False, False, True]


@pytest.mark.parametrize("radius", range(4, 40, 3))
def test_polygon_keeps_the_mask_also_if_its_outline_is_drawn(radius: int):
    mask = disk(45, 60, radius + 0.5)
    polygon = outline(mask)
    if polygon is None:
        assert radius < 14
        return
    assert iou(to_mask([polygon], *SIZE), mask) >= 0.95
    picture = Image.new("L", SIZE[::-1])
    ImageDraw.Draw(picture).polygon(polygon, fill=1, outline=1)
    assert iou(np.asarray(picture), mask) >= 0.9
    assert len(polygon) < 60


def test_specks_and_pinholes_are_left_out():
    mask = disk(45, 60, 25)
    mask[45, 60] = False
    mask[2, 2] = True
    polygon = outline(mask)
    assert polygon is not None
    assert iou(to_mask([polygon], *SIZE), disk(45, 60, 25)) > 0.95


def test_polygon_of_a_whole_photo_is_its_four_corners():
    polygon = outline(np.ones(SIZE, bool))
    assert polygon is not None
    corners = set(zip(polygon[::2], polygon[1::2], strict=True))
    assert len(polygon) == 8 and corners == {(0, 0), (0, 90), (120, 0), (120, 90)}
