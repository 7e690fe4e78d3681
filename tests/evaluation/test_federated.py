"""LVIS's own figures: those of pycocotools where LVIS's rules do not differ, and its rules where they do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from typer.testing import CliRunner

from tests.shared import EVALUATOR_FILES
from vclr.cli import app
from vclr.coco.annotations import to_rle
from vclr.errors import UserError
from vclr.evaluation.federated import score_as_lvis
from vclr.evaluation.recall import score
from vclr.files import read_json, write_json

SAMPLE = EVALUATOR_FILES / "lvis_v05_val_100" / "lvis_val_100.json"
needs_sample = pytest.mark.skipif(not SAMPLE.is_file(), reason="the sample of LVIS is not there")


def perturbed(truth: dict[str, Any], seed: int = 0) -> list[dict[str, Any]]:
    """Return a prediction near most objects, some of another class of the sample, with masks."""
    generator = np.random.default_rng(seed)
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    classes = sorted({annotation["category_id"] for annotation in truth["annotations"]})
    found = []
    for annotation in truth["annotations"]:
        height, width = sizes[annotation["image_id"]]
        left, top, w, h = annotation["bbox"]
        left, top = max(0, left + generator.normal(0, w / 9)), max(0, top + generator.normal(0, h / 9))
        w, h = max(1, min(w, width - left)), max(1, min(h, height - top))
        mask = to_rle([[left, top, left + w, top, left + w, top + h, left, top + h]], height, width)
        category = annotation["category_id"] if generator.random() < 0.8 else int(generator.choice(classes))
        found.append(
            {
                "image_id": annotation["image_id"],
                "category_id": category,
                "score": float(generator.random()),
                "bbox": [left, top, w, h],
                "segmentation": {**mask, "counts": mask["counts"].decode()},
            }
        )
    return found


def small(neg: list[int], not_exhaustive: list[int]) -> dict[str, Any]:
    """Return one image with one object of the first of three classes."""
    image = {"id": 1, "height": 100, "width": 100, "coco_url": "http://images.cocodataset.org/val2017/1.jpg"}
    image |= {"neg_category_ids": neg, "not_exhaustive_category_ids": not_exhaustive}
    box = {"bbox": [10, 10, 40, 40], "area": 1600, "segmentation": [[10, 10, 50, 10, 50, 50, 10, 50]]}
    annotations = [{"id": number, "image_id": 1, "category_id": number, **box} for number in (1, 2)]
    categories = [{"id": number, "name": f"c{number}", "frequency": "rcf"[number - 1]} for number in (1, 2, 3)]
    return {"images": [image], "annotations": annotations, "categories": categories}


def result(category: int, score: float, left: int = 10) -> dict[str, Any]:
    return {"image_id": 1, "category_id": category, "score": score, "bbox": [left, 10, 40, 40]}


def score_small(folder: Path, truth: dict[str, Any], found: list[dict[str, Any]]) -> dict[str, float | None]:
    write_json(folder / "truth.json", truth)
    write_json(folder / "found.json", found)
    return score_as_lvis(folder / "truth.json", folder / "found.json")


@needs_sample
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "outline"), [("box", "bbox"), ("mask", "segm")])
def test_figures_are_those_of_pycocotools_where_every_class_is_annotated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, outline: str
):
    truth = read_json(SAMPLE)
    found = perturbed(truth)
    for image in truth["images"]:
        image["neg_category_ids"] = [category["id"] for category in truth["categories"]]
        image["not_exhaustive_category_ids"] = []
    ours = score_small(tmp_path, truth, found)
    for annotation in truth["annotations"]:
        annotation["iscrowd"] = 0
    write_json(tmp_path / "coco.json", truth)
    coco = COCO(str(tmp_path / "coco.json"))
    judge = COCOeval(coco, coco.loadRes(str(tmp_path / "found.json")), outline)
    judge.params.maxDets = [1, 10, 300]
    judge.evaluate()
    judge.accumulate()
    capsys.readouterr()
    precision, recall = judge.eval["precision"][..., 0, -1], judge.eval["recall"][..., 0, -1]
    assert ours[f"lvis_{kind}_ap"] == pytest.approx(100 * precision[precision > -1].mean(), abs=1e-9)
    assert ours[f"lvis_{kind}_ar@300"] == pytest.approx(100 * recall[recall > -1].mean(), abs=1e-9)
    for frequency, name in (("r", "rare"), ("c", "common"), ("f", "frequent")):
        chosen = [index for index, one in enumerate(truth["categories"]) if one["frequency"] == frequency]
        part = precision[:, :, chosen]
        assert ours[f"lvis_{kind}_ap_{name}"] == pytest.approx(100 * part[part > -1].mean(), abs=1e-9)


@needs_sample
def test_the_objects_themselves_are_found_completely(tmp_path: Path):
    truth = read_json(SAMPLE)
    keys = ("image_id", "category_id", "bbox", "segmentation")
    write_json(tmp_path / "found.json", [{k: one[k] for k in keys} | {"score": 0.5} for one in truth["annotations"]])
    metrics = score_as_lvis(SAMPLE, tmp_path / "found.json")
    for kind in ("box", "mask"):
        assert [metrics[f"lvis_{kind}_{name}"] for name in ("ap", "ap75", "ar@300")] == pytest.approx([100] * 3)
    assert {name: metrics[name] for name in metrics if not name.startswith("lvis_")} == score(
        SAMPLE, tmp_path / "found.json"
    )


def test_sizes_of_masks_are_their_own(tmp_path: Path):
    mask = to_rle([[55, 50, 95, 50, 95, 90, 55, 90]], 100, 100)  # medium, on no object
    wrong = {**result(2, 0.9), "bbox": [60, 60, 9, 9], "segmentation": {**mask, "counts": mask["counts"].decode()}}
    right = {**result(2, 0.5), "segmentation": small([], [])["annotations"][1]["segmentation"]}
    figures = score_small(tmp_path, small([], []), [wrong, right])
    without = [{key: value for key, value in one.items() if key != "bbox"} for one in (wrong, right)]
    alone = score_small(tmp_path, small([], []), without)
    of_masks = [name for name in alone if name.startswith("lvis_mask_")]
    assert {name: figures[name] for name in of_masks} == {name: alone[name] for name in of_masks}
    assert figures["lvis_mask_ap_medium"] < figures["lvis_box_ap_medium"]  # the wrong box is small


def test_only_classes_that_were_looked_for_count(tmp_path: Path):
    right, wrong = [result(1, 0.5), result(2, 0.5)], result(2, 0.9, left=55)
    assert score_small(tmp_path, small([], []), right)["lvis_box_ap"] == pytest.approx(100)
    assert score_small(tmp_path, small([], []), [*right, wrong])["lvis_box_ap"] < 99
    not_exhaustive = score_small(tmp_path, small([], [2]), [*right, wrong])
    assert not_exhaustive["lvis_box_ap"] == pytest.approx(100)
    unknown = score_small(tmp_path, small([], []), [*right, result(3, 0.9)])
    assert unknown["lvis_box_ap"] == pytest.approx(100)
    assert unknown["lvis_box_ap_frequent"] is None
    assert unknown["lvis_mask_ap"] is None, "the predictions are boxes"


def test_all_metrics_are_of_the_usable_annotations(tmp_path: Path):
    """The second class also has an object without any area, which nothing could find."""
    truth, found = small([], []), [result(1, 0.5), result(2, 0.5)]
    expected = score_small(tmp_path, truth, found)
    truth["annotations"].append({**truth["annotations"][1], "id": 3, "bbox": [60, 60, 0, 0], "segmentation": []})
    assert score_small(tmp_path, truth, found) == expected
    assert expected["lvis_box_ap"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("found", "error"),
    [
        ([result(7, 0.5), {}], r"\[0\]: category_id 7 is no category"),
        ([result(1, 0.5), {**result(1, 0.5), "category_id": [1]}], r"\[1\]: category_id \[1\] is no category"),
        ([result(2, 0.5), 3], r"\[1\]: is not an object"),
        ([result(1, 0.5), result(1, 0.4)], "all predictions are of category 1"),
        ([result(1, 0.5), result(7, 0.4)], r"\[1\]: category_id 7 is no category"),
        ([], "not empty"),
    ],
)
def test_predictions_without_classes_of_lvis_are_refused(tmp_path: Path, found: list[dict[str, Any]], error: str):
    with pytest.raises(UserError, match=error):
        score_small(tmp_path, small([], []), found)


def test_other_ground_truths_are_refused(tmp_path: Path):
    truth = small([], [])
    del truth["categories"][1]["frequency"]
    with pytest.raises(UserError, match=r"categories\[1\]: has no `frequency`, so it is not a json of LVIS"):
        score_small(tmp_path, truth, [result(2, 0.5)])


def test_the_command_adds_them_to_the_class_agnostic_metrics(tmp_path: Path):
    score_small(tmp_path, small([], []), [result(2, 0.5)])
    done = CliRunner().invoke(app, ["score", str(tmp_path / "truth.json"), str(tmp_path / "found.json"), "--lvis"])
    assert done.exit_code == 0, done.exception
    metrics = json.loads(done.stdout)
    assert metrics["lvis_box_ap"] == pytest.approx(50)
    assert metrics["lvis_box_ap_rare"] == 0
    assert metrics["box_ar@100"] == 50
