"""Counting image by image against pycocotools, which counts all images at once, where much is equal or ignored."""

from __future__ import annotations

import contextlib
import io
import random
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vclr.coco.annotations import encode_mask
from vclr.evaluation.matching import match
from vclr.evaluation.recall import score
from vclr.evaluation.tally import THRESHOLDS

Json = dict[str, Any]
SIDE = 160
MAX_DETS = (1, 10, 100, 300)


def make_shape(chance: random.Random) -> Json:
    """Return a box on a coarse grid, so that many IoUs are equal, and its mask."""
    x, y, w, h = (8 * chance.randint(low, high) for low, high in ((0, 10), (0, 10), (1, 16), (1, 16)))
    box = [x, y, min(w, SIDE - x), min(h, SIDE - y)]
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y : y + box[3], x : x + box[2]] = True
    return {"bbox": box, "area": box[2] * box[3], "segmentation": encode_mask(mask)}


def make_case(number: int) -> tuple[Json, list[Json]]:
    chance = random.Random(number)
    images = [{"id": image, "file_name": f"{image}.png", "height": SIDE, "width": SIDE} for image in (3, 0, 7, 12)]
    annotations = [
        {"id": place + 1, "image_id": chance.choice((3, 0, 7)), "category_id": 1, "iscrowd": int(chance.random() < 0.2)}
        | make_shape(chance)
        for place in range(chance.choice((1, 10, 40)))
    ]
    found = []
    for _ in range(chance.choice((0, 30, 1500))):
        shape = chance.choice(annotations) if chance.random() < 0.5 else make_shape(chance)
        shape = {key: shape[key] for key in ("bbox", "segmentation", "area")}
        found.append(
            {"image_id": chance.choice((3, 0, 12)), "category_id": 1, "score": chance.randint(0, 9) / 9, **shape}
        )
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}, found


def count_all(truth: Json, found: list[Json], iou_type: str) -> COCOeval:
    sides = []
    for counted in (truth["annotations"], found):
        entries = [{"iscrowd": 0, **entry, "id": place} for place, entry in enumerate(counted, start=1)]
        side = COCO()
        side.dataset = {**truth, "annotations": entries}
        with contextlib.redirect_stdout(io.StringIO()):
            side.createIndex()
        sides.append(side)
    evaluator = COCOeval(*sides, iou_type)
    evaluator.params.maxDets = list(MAX_DETS)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator


def percent(values: np.ndarray) -> float | None:
    present = values[values > -1]
    return float(present.mean()) * 100 if present.size else None


@pytest.mark.parametrize("number", range(12))
def test_metrics_are_those_of_pycocotools_to_the_bit(number: int):
    truth, found = make_case(number)
    scores = score(truth, found, MAX_DETS)
    for kind, iou_type in (("box", "bbox"), ("mask", "segm")):
        evaluator = count_all(truth, found, iou_type)
        precision, recall = evaluator.eval["precision"][:, :, 0], evaluator.eval["recall"][:, 0]
        at_100 = MAX_DETS.index(100)
        assert scores[f"{kind}_ap"] == percent(precision[:, :, 0, at_100])
        assert scores[f"{kind}_ap75"] == percent(precision[5, :, 0, at_100])
        for area, size in enumerate(("small", "medium", "large"), start=1):
            assert scores[f"{kind}_ap_{size}"] == percent(precision[:, :, area, at_100])
            assert scores[f"{kind}_ar@300_{size}"] == percent(recall[:, area, MAX_DETS.index(300)])
        for place, count in enumerate(MAX_DETS):
            assert scores[f"{kind}_ar@{count}"] == percent(recall[:, 0, place])


def check_finders(evaluator: COCOeval) -> int:
    """Compare which detection each object has, and return how many have one."""
    num_found = 0
    for image in filter(None, evaluator.evalImgs):
        key = image["image_id"], 1
        objects, ious = evaluator._gts[key], np.asarray(evaluator.ious[key])
        if image["aRng"] != evaluator.params.areaRng[0] or not ious.size:
            continue
        is_crowd = np.array([bool(one["iscrowd"]) for one in objects])
        finders = match(ious, is_crowd, is_crowd[None], THRESHOLDS).finders(len(objects))[0]
        places = {one["id"]: place for place, one in enumerate(objects)}
        ids = np.array([*image["dtIds"], 0])[finders[:, [places[number] for number in image["gtIds"]]]]
        assert ids.tolist() == image["gtMatches"].tolist()
        num_found += np.count_nonzero(ids)
    return num_found


def test_each_object_has_the_detection_that_pycocotools_gives_it():
    assert sum(check_finders(count_all(*make_case(number), "bbox")) for number in range(4)) > 50
