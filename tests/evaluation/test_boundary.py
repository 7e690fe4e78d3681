"""Boundary IoU against its authors' formula, and its metrics against pycocotools' counting with these IoUs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from vclr.catalog.metrics import BOUNDARY, KINDS
from vclr.coco.annotations import encode_mask, to_mask, to_rle
from vclr.evaluation.boundary import to_boundary
from vclr.evaluation.recall import score


def plain_boundary(mask: np.ndarray) -> np.ndarray:
    """Return the mask minus its erosion by a 3 x 3 kernel, repeated; the image is padded by zeros."""
    repetitions = max(1, round(0.02 * math.sqrt(mask.shape[0] ** 2 + mask.shape[1] ** 2)))
    eroded = np.pad(mask, 1)
    for _ in range(repetitions):
        eroded = np.pad(sliding_window_view(eroded, (3, 3)).all(axis=(2, 3)), 1)
    return mask & ~eroded[1:-1, 1:-1]


def make_mask(number: int) -> np.ndarray:
    """Return a disk with a hole, which may reach over the border; number 0 is empty, 1 is everything."""
    numbers = np.random.default_rng(number)
    if number < 2:
        return np.full((70, 90), bool(number))
    y, x = np.indices((70, 90))
    distance = np.hypot(y - numbers.integers(70), x - numbers.integers(90))
    return (distance < numbers.integers(4, 40)) & (distance > numbers.integers(0, 4))


@pytest.mark.parametrize("number", range(8))
def test_boundary_is_the_mask_without_its_erosion(number: int):
    mask = make_mask(number)
    boundary = to_boundary(to_rle(encode_mask(mask), *mask.shape))
    found = to_mask({"size": boundary["size"], "counts": boundary["counts"].decode()}, *mask.shape)
    assert (found.astype(bool) == plain_boundary(mask)).all()


@pytest.mark.parametrize("number", range(2, 8))
def test_recall_goes_by_the_lower_iou(number: int):
    mask = make_mask(number)
    shifted = np.roll(mask, (1, 1), (0, 1))
    masks, boundaries = (mask, shifted), (plain_boundary(mask), plain_boundary(shifted))
    iou = min((one & other).sum() / (one | other).sum() for one, other in (masks, boundaries))
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 50, 50]}
    truth = {
        "images": [{"id": 1, "file_name": "a.png", "height": 70, "width": 90}],
        "categories": [{"id": 1, "name": "disk"}],
        "annotations": [{**box, "id": 1, "area": 9, "iscrowd": 0, "segmentation": encode_mask(mask)}],
    }
    found = [{**box, "score": 0.5, "segmentation": encode_mask(shifted)}]
    metrics = score(truth, found, boundary=True)
    assert metrics["boundary_ar@1"] == pytest.approx(10 * sum(iou >= 0.5 + 0.05 * step for step in range(10)))
    plain = score(truth, found)
    assert plain == {name: value for name, value in metrics.items() if not name.startswith("boundary_")}
    assert score(truth, [{**found[0], "segmentation": encode_mask(mask)}], boundary=True)[
        "boundary_ap"
    ] == pytest.approx(100)
    assert score(truth, [{**box, "score": 1}], boundary=True)["boundary_ap"] is None


def test_boxes_alone_have_no_intervals_of_masks():
    """Even if a category has no predictions, which then all have masks."""
    box = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 50, 50]}
    mask = {"area": 9, "iscrowd": 0, "segmentation": encode_mask(make_mask(2))}
    truth = {
        "images": [{"id": 1, "file_name": "a.png", "height": 70, "width": 90}],
        "categories": [{"id": 1, "name": "disk"}, {"id": 2, "name": "other"}],
        "annotations": [{**box, **mask, "id": number, "category_id": number} for number in (1, 2)],
    }
    found = [{**box, "score": 0.5}]
    metrics = score(truth, found, intervals=True, class_aware=True, boundary=True)
    assert {kind for kind in (*KINDS, BOUNDARY) if metrics[f"{kind}_ap"] is not None} == {"box"}
    assert {name.partition("_")[0] for name in metrics["intervals"]} == {"box"}
