"""Units: a file whose shapes are all fractions of their images is refused; a file in pixels never is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vclr.coco.annotations import encode_mask, load_coco, rasterize
from vclr.coco.file import open_coco
from vclr.errors import UserError

HEIGHT, WIDTH = 40, 60
SHARES = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.5, 0.5], [0, 0, 1, 1]]
PIXELS = [[6, 8, 18, 16], [30.5, 20, 29, 20], [0, 0, 1, 1]]


def corners(box: list[float]) -> list[list[float]]:
    x, y, w, h = box
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def write(path: Path, boxes: list[list[float]], segmentations: list[Any] | None = None) -> Path:
    annotations: list[dict[str, Any]] = [
        {"id": number, "image_id": 1, "category_id": 1, "bbox": box} for number, box in enumerate(boxes)
    ]
    for annotation, segmentation in zip(annotations, segmentations or [], strict=False):
        annotation["segmentation"] = segmentation
    images = [{"id": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH}]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


@pytest.mark.parametrize(
    ("boxes", "segmentations", "says"),
    [
        (SHARES, None, r"all 3 boxes lie within 1 px of the corner: are they fractions of the image size\?"),
        (SHARES[:1], None, "the only one of its boxes lies within 1 px"),
        (SHARES, [corners(box) for box in SHARES], "all 3 boxes"),
        (PIXELS, [corners(box) for box in SHARES], "all 3 polygons lie within 1 px"),
        (SHARES, [encode_mask(rasterize({"bbox": PIXELS[0]}, HEIGHT, WIDTH))] * 3, "all 3 boxes"),
        ([[0.9996, 0.5, 0.0005, 0.5], [0, 0, 0, 0]], None, "the only one of its boxes"),  # rounded beyond 1
    ],
)
def test_shares_are_refused_by_every_reader(tmp_path: Path, boxes: Any, segmentations: Any, says: str):
    path = write(tmp_path / "a.json", boxes, segmentations)
    with pytest.raises(UserError, match=rf"a\.json: {says}"):
        load_coco(path)
    with pytest.raises(UserError, match=rf"a\.json: {says}"):
        list(open_coco(path).check())


@pytest.mark.parametrize(
    ("boxes", "segmentations"),
    [
        (PIXELS, None),
        (PIXELS, [corners(box) for box in PIXELS]),
        ([[0, 0, 1, 1]], None),  # an object of one pixel
        ([*SHARES, [0.5, 0.5, 9, 9]], None),
        ([], None),
    ],
)
def test_pixels_are_read(tmp_path: Path, boxes: Any, segmentations: Any):
    path = write(tmp_path / "a.json", boxes, segmentations)
    assert len(load_coco(path)["annotations"]) == len(list(open_coco(path).check())) == len(boxes)
