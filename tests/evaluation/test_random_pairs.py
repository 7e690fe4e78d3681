"""Every metric is pycocotools' own to the last bit, on files of all kinds and with several processes."""

from __future__ import annotations

import contextlib
import io
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from typer.testing import CliRunner

from tests.shared import EVALUATOR_FILES
from vclr.catalog.metrics import AP_DETECTIONS, AP_THRESHOLDS, KINDS, MAX_DETS, SIZES
from vclr.cli import app
from vclr.coco import prediction_index
from vclr.coco.annotations import encode_mask, to_rle
from vclr.errors import UserError
from vclr.evaluation.recall import score
from vclr.files import read_json, write_json
from vclr.worker_pool import WorkerPool

Json = dict[str, Any]
IOU_TYPES = {"box": "bbox", "mask": "segm"}


def make_shape(chance: random.Random, height: int, width: int) -> Json:
    """Return a box from a pixel to the whole image and a mask in it: polygons, or run lengths of either kind."""
    w, h = (max(2, round(side * chance.random() ** 2)) for side in (width, height))
    x, y = chance.randint(0, width - w), chance.randint(0, height - h)
    kind = chance.choice(("polygon", "polygons", "counts", "lengths"))
    corners = [x, y, x + w, y, x + w, y + h, x, y + h]
    segmentation: Any = [corners] if kind == "polygon" else [corners, [x, y, x + w, y + h / 2, x, y + h]]
    if kind in ("counts", "lengths"):
        mask = np.zeros((height, width), bool)
        mask[y : y + h, x : x + w] = np.random.default_rng(chance.randrange(99)).random((h, w)) < chance.choice(
            (0.5, 1)
        )
        segmentation = encode_mask(mask)
    if kind == "lengths":
        edges = np.flatnonzero(np.diff(mask.T.ravel(), prepend=False, append=not mask.T.ravel()[-1]))
        segmentation = {"size": [height, width], "counts": np.diff(edges, prepend=0).tolist()}
    return {"bbox": [x, y, w, h], "segmentation": segmentation}


def make_pair(number: int) -> tuple[Json, list[Json]]:
    """Return a ground truth and predictions: some images are empty on one side or both, and many scores are equal."""
    chance = random.Random(number)
    images = [
        {
            "id": place,
            "file_name": f"{place}.png",
            "height": chance.choice((40, 150)),
            "width": chance.choice((60, 130)),
        }
        for place in (5, 2, 9, 1)
    ]
    annotations, found = [], []
    for place in range(chance.choice((1, 6, 25))):
        image = chance.choice(images[:3])
        shape = make_shape(chance, image["height"], image["width"])
        area = float(coco_mask.area(to_rle(shape["segmentation"], image["height"], image["width"])))
        kinds = {"category_id": chance.randint(1, 3), "iscrowd": int(chance.random() < 0.15)}
        annotations.append({"id": place + 1, "image_id": image["id"], "area": area, **kinds, **shape})
    for _ in range(chance.choice((0, 8, 60, 60, 450))):
        image = chance.choice((images[0], *images[2:]))
        same = [one for one in annotations if one["image_id"] == image["id"]]
        near = (
            chance.choice(same)
            if same and chance.random() < 0.5
            else make_shape(chance, image["height"], image["width"])
        )
        shape = {"bbox": [value + chance.choice((0, 0, 1, 2.5)) for value in near["bbox"]]}
        shape["segmentation"] = near["segmentation"]
        kinds = {"category_id": chance.randint(1, 3), "score": chance.choice((chance.random(), 0.5, 0.75))}
        found.append({"image_id": image["id"], **kinds, **shape})
    categories = [{"id": number, "name": f"{number}"} for number in (1, 2, 3, 4)]
    return {"images": images, "annotations": annotations, "categories": categories}, found


def judge(truth: Json, found: list[Json], kind: str, use_categories: bool) -> dict[str, float | None]:
    """Return pycocotools' metrics under our names."""
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    detections = [{"iscrowd": 0, **one, "id": place} for place, one in enumerate(found, start=1)]
    for one in detections:
        is_box = kind == "box"
        width, height = one["bbox"][2:]
        one["area"] = (
            width * height if is_box else float(coco_mask.area(to_rle(one["segmentation"], *sizes[one["image_id"]])))
        )
    sides = []
    for entries in (truth["annotations"], detections):
        side = COCO()
        side.dataset = {**truth, "annotations": json.loads(json.dumps(entries))}
        with contextlib.redirect_stdout(io.StringIO()):
            side.createIndex()
        sides.append(side)
    return count(*sides, kind, use_categories)


def count(truth: COCO, found: COCO, kind: str, use_categories: bool) -> dict[str, float | None]:
    evaluator = COCOeval(truth, found, IOU_TYPES[kind])
    evaluator.params.maxDets, evaluator.params.useCats = list(MAX_DETS), int(use_categories)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
    precision, recalls = evaluator.eval["precision"][..., MAX_DETS.index(AP_DETECTIONS)], evaluator.eval["recall"]
    metrics = {f"{kind}_ap": precision[..., 0]}
    for name, threshold in AP_THRESHOLDS.items():
        metrics[f"{kind}_{name}"] = precision[round((threshold - 0.5) / 0.05), ..., 0]
    for area, size in enumerate(SIZES, start=1):
        metrics[f"{kind}_ap_{size}"] = precision[..., area]
    for place, number in enumerate(MAX_DETS):
        metrics[f"{kind}_ar@{number}"] = recalls[..., 0, place]
        for area, size in enumerate(SIZES, start=1) if number >= AP_DETECTIONS else ():
            metrics[f"{kind}_ar@{number}_{size}"] = recalls[..., area, place]
    present = {name: values[values > -1] for name, values in metrics.items()}
    return {name: float(values.mean()) * 100 if values.size else None for name, values in present.items()}


def without_f1(metrics: dict[str, float | None], kind: str) -> dict[str, float | None]:
    return {name: value for name, value in metrics.items() if name.startswith(kind) and "f1" not in name}


NUMBERS = [*range(40), *(pytest.param(number, marks=pytest.mark.slow) for number in range(40, 500))]


@pytest.mark.parametrize("number", NUMBERS)
def test_metrics_are_those_of_pycocotools_to_the_bit(number: int, tmp_path: Path):
    truth, found = make_pair(number)
    write_json(tmp_path / "found.json", found)
    use_categories = number % 3 == 0
    metrics = score(truth, tmp_path / "found.json", class_aware=use_categories)
    for kind in KINDS if found else ("box",):
        assert without_f1(metrics, kind) == judge(truth, found, kind, use_categories)
    assert metrics == score(truth, found, class_aware=use_categories), "a file and its content give the same"


def plain_f1(truth: Json, found: list[Json]) -> tuple[float, float | None]:
    """Return the best F1 and its threshold, one threshold after the other, of detections that agree with objects."""
    best = 0.0, None
    for threshold in sorted({one["score"] for one in found}, reverse=True):
        kept = [one for one in found if one["score"] >= threshold]
        boxes = [(one["image_id"], tuple(one["bbox"])) for one in truth["annotations"]]
        true = len({(one["image_id"], tuple(one["bbox"])) for one in kept} & set(boxes))
        precision, share = true / len(kept), true / len(boxes)
        f1 = 200 * precision * share / (precision + share) if true else 0.0
        if f1 > best[0] + 1e-9:
            best = f1, threshold
    return best


@pytest.mark.parametrize("number", range(6))
def test_f1_is_the_best_over_all_score_thresholds(number: int):
    chance = random.Random(number)
    cells = [(image, (20 * x, 20 * y, 12, 12)) for image in (1, 2) for x in range(5) for y in range(5)]
    truth = {
        "images": [{"id": image, "file_name": f"{image}.png", "height": 100, "width": 100} for image in (1, 2)],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [
            {"id": place, "image_id": image, "category_id": 1, "bbox": [*box], "area": 144, "iscrowd": 0}
            for place, (image, box) in enumerate(chance.sample(cells, 20))
        ],
    }
    found = [
        {"image_id": image, "category_id": 1, "bbox": [*box], "score": round(chance.random(), 1)}
        for image, box in chance.sample(cells, 30)
    ]
    metrics = score(truth, found)
    f1, threshold = plain_f1(truth, found)
    assert metrics["box_f1"] == pytest.approx(f1)
    assert metrics["box_f1_score"] == threshold
    nothing = score(truth, [])
    assert (nothing["box_f1"], nothing["box_f1_score"], nothing["mask_f1"]) == (0, None, None)


def test_several_processes_count_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prediction_index, "SHARE", 2000)
    monkeypatch.setattr("vclr.coco.predictions.IMAGES", 1)
    truth, found = make_pair(7)
    images = [{**image, "id": 10 * copy + image["id"]} for copy in range(4) for image in truth["images"]]
    annotations = [
        {**one, "image_id": 10 * copy + one["image_id"], "id": 1000 * copy + one["id"]}
        for copy in range(4)
        for one in truth["annotations"]
    ]
    found = [
        {**one, "image_id": 10 * copy + one["image_id"], "segmentation": encode_mask(mask)}
        for copy in range(4)
        for one in found
        for mask in [coco_mask.decode(to_rle(one["segmentation"], *size_of(truth, one)))]
    ]
    assert len(found) > 100
    truth = {**truth, "images": images, "annotations": annotations}
    write_json(tmp_path / "found.json", found)
    expected = score(truth, found)
    assert score(truth, tmp_path / "found.json", pool=WorkerPool(2)) == expected
    mixed = [{key: value for key, value in one.items() if key != "segmentation"} for one in found[:60]] + found[60:]
    write_json(tmp_path / "mixed.json", mixed)
    with pytest.raises(Exception, match=r"mixed\.json: \[0\]: has no `segmentation`, though other predictions"):
        score(truth, tmp_path / "mixed.json", pool=WorkerPool(2))
    found[-1]["score"] = "high"
    write_json(tmp_path / "found.json", found)
    with pytest.raises(Exception, match=rf"found\.json: \[{len(found) - 1}\]: score 'high' is not a finite number"):
        score(truth, tmp_path / "found.json", pool=WorkerPool(2))


def size_of(truth: Json, found: Json) -> tuple[int, int]:
    return next((image["height"], image["width"]) for image in truth["images"] if image["id"] == found["image_id"])


REAL, SMALL = EVALUATOR_FILES / "coco_val2014_100", EVALUATOR_FILES / "small_edge_cases"
needs_files = pytest.mark.skipif(not REAL.is_dir(), reason="needs VCLR_SHARED")


@needs_files
@pytest.mark.parametrize(("kind", "theirs"), IOU_TYPES.items())
def test_class_aware_figures_of_real_results_are_the_published_ones(kind: str, theirs: str):
    everything = read_json(REAL / "expected_pycocotools.json")
    names = {"AP": "ap", "AP50": "ap50", "AP75": "ap75", "AR100": "ar@100", "AR10": "ar@10", "AR1": "ar@1"}
    files = REAL / "instances_val2014_100.json", REAL / f"instances_val2014_fake{theirs}100_results.json"
    aware, agnostic = score(*files, class_aware=True), score(*files)
    (known,) = (value for key, value in everything.items() if key.startswith(theirs) and "useCats0" not in key)
    for theirs_name, ours in names.items():
        assert aware[f"{kind}_{ours}"] == pytest.approx(100 * known[theirs_name], abs=1e-4)
        expected = everything[f"{theirs}_class_agnostic_useCats0"][theirs_name]
        assert agnostic[f"{kind}_{ours}"] == pytest.approx(100 * expected, abs=1e-4)


@needs_files
@pytest.mark.parametrize("name", ["dataset", "ignore_test"])
@pytest.mark.parametrize("use_categories", [False, True])
def test_small_edge_cases(name: str, use_categories: bool, tmp_path: Path):
    truth, found = read_json(SMALL / f"gt_{name}.json"), read_json(SMALL / f"dt_{name}.json")
    for image in truth["images"]:
        image["id"] = int(image["id"])  # text in one of the files, unlike in its annotations
    for annotation in truth["annotations"]:
        annotation["image_id"] = int(annotation["image_id"])
    write_json(tmp_path / "truth.json", truth)
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = COCO(str(tmp_path / "truth.json"))
        sides = theirs, theirs.loadRes([dict(one) for one in found])
    metrics = score(tmp_path / "truth.json", found, class_aware=use_categories)
    assert metrics["box_ap"]
    assert without_f1(metrics, "box") == count(*sides, "box", use_categories)


BOX = {"image_id": 1, "category_id": 1, "score": 0.5, "bbox": [10, 10, 20, 20]}
TRUTH = {
    "images": [{"id": 1, "file_name": "a.png", "height": 100, "width": 120}],
    "categories": [{"id": 1, "name": "thing"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0}],
}
WRONG = {
    "unknown image": (json.dumps([BOX, {**BOX, "image_id": 7}]), "[1]: image_id 7 is not an image of the ground truth"),
    "NaN": (json.dumps([{**BOX, "score": float("nan")}]), "[0]: score is NaN"),
    "too large": (json.dumps([BOX]).replace("0.5", "1e999"), "[0]: score inf is not a finite number"),
    "negative side": (json.dumps([{**BOX, "bbox": [1, 1, -2, 5]}]), "[0]: bbox [1, 1, -2, 5]"),
    "other size": (
        json.dumps([{**BOX, "segmentation": encode_mask(np.ones((100, 100), bool))}]),
        "[0]: RLE size [100, 100] differs from the image's [100, 120]",
    ),
    "too long": (
        json.dumps([{**BOX, "segmentation": {**encode_mask(np.ones((130, 130), bool)), "size": [100, 120]}}]),
        "[0]: RLE counts are damaged or do not add up to 100x120 pixels",
    ),
    "too short": (
        json.dumps([{**BOX, "segmentation": {"size": [100, 120], "counts": [5, 9]}}]),
        "[0]: RLE counts do not add up to 100x120 pixels",
    ),
    "empty": ("", "is empty"),
    "not a list": ("{}", "is neither a list of COCO results nor a COCO json with scores"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files_are_named_on_the_command_line(name: str, tmp_path: Path):
    text, says = WRONG[name]
    write_json(tmp_path / "truth.json", TRUTH)
    (tmp_path / "found.json").write_text(text)
    arguments = ["score", str(tmp_path / "truth.json"), str(tmp_path / "found.json")]
    result = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "out.json")])
    assert result.exit_code == 1
    assert f"{tmp_path}/found.json: {says}" in str(result.exception)
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"category_id": 7}, "category_id 7 is no category of the ground truth"),
        ({"category_id": 10**400}, "category_id 100000000000000000...0000000000000000000 is no category"),
        ({}, "has no `category_id`, though classes are compared"),
    ],
)
def test_class_aware_predictions_need_a_known_category(tmp_path: Path, change: Json, says: str):
    without = {key: value for key, value in BOX.items() if key != "category_id"}
    found = [{**BOX, "category_id": 1}, {**without, **change}]
    write_json(tmp_path / "truth.json", TRUTH)
    write_json(tmp_path / "found.json", found)
    for predictions in (tmp_path / "found.json", found):
        with pytest.raises(UserError, match=rf"\[1\]: {re.escape(says)}"):
            score(tmp_path / "truth.json", predictions, class_aware=True)


def test_categories_may_be_whole_floats(tmp_path: Path):
    write_json(tmp_path / "truth.json", TRUTH)
    for name, category in (("found.json", 1), ("floats.json", 1.0)):
        write_json(tmp_path / name, [{**BOX, "category_id": category}])
    ours, floats = (score(TRUTH, tmp_path / name, class_aware=True) for name in ("found.json", "floats.json"))
    assert ours == floats and ours["box_ar@100"]


@pytest.mark.parametrize("key", ["score", "image_id", "bbox"])
def test_huge_numbers_are_named_in_a_short_line(tmp_path: Path, key: str):
    huge = 10**400
    write_json(tmp_path / "found.json", [{**BOX, key: [0, 0, huge, 9] if key == "bbox" else huge}])
    with pytest.raises(UserError, match=rf"\[0\]: {key}.*10{{17}}\.\.\.0{{19}}\D") as caught:
        score(TRUTH, tmp_path / "found.json")
    assert len(str(caught.value).removeprefix(str(tmp_path))) < 120


def test_nothing_to_compare_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_json(tmp_path / "found.json", [])
    metrics = score(TRUTH, tmp_path / "found.json")
    assert metrics["box_ar@100"] == 0
    assert caplog.messages == [f"{tmp_path}/found.json: holds no predictions; everything counts as missed"]
    crowds = [{**annotation, "iscrowd": 1} for annotation in TRUTH["annotations"]]
    for nothing in ([], crowds):
        write_json(tmp_path / "truth.json", {**TRUTH, "annotations": nothing})
        with pytest.raises(UserError, match=r"truth\.json: holds no object"):
            score(tmp_path / "truth.json", tmp_path / "found.json")


def test_flat_boxes_and_negative_areas_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_json(tmp_path / "found.json", [BOX, {**BOX, "bbox": [5, 5, 0, 9]}, {**BOX, "bbox": [5, 5, 9, 0.0]}])
    first, *others = TRUTH["annotations"]
    write_json(tmp_path / "truth.json", {**TRUTH, "annotations": [first, *others, {**first, "id": 99, "area": -5}]})
    score(tmp_path / "truth.json", tmp_path / "found.json")
    assert f"{tmp_path}/found.json: 2 boxes have a width or height of 0 and fit no object" in caplog.messages
    says = "objects with a negative `area` count neither as found nor as missed: 1"
    assert f"{tmp_path}/truth.json: {says}" in caplog.messages


def test_suspicious_predictions_are_used_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    outside = {**BOX, "bbox": [300, 10, 20, 20], "score": 0.1}
    write_json(tmp_path / "found.json", [BOX, outside, BOX, {**BOX, "score": 0.4}, BOX])
    metrics = score(TRUTH, tmp_path / "found.json", max_dets=[10])
    assert metrics["box_ar@10"] == 100
    copies = "2 predictions are copies of others for the same image, the first ones for image 1"
    assert [record.message for record in caplog.records] == [
        f"{tmp_path}/found.json: 1 box lies outside of its image, the first one at [1]",
        f"{tmp_path}/found.json: {copies}; each counts, and lowers the precision",
    ]
    caplog.clear()
    score(TRUTH, [BOX], max_dets=[10])
    assert not caplog.records
