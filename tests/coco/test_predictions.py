"""Predictions and proposals with their own images are matched by file name, whichever command reads them."""

from __future__ import annotations

import copy
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from vclr.coco.predictions import read_predictions
from vclr.coco.same_images import match_images
from vclr.errors import UserError
from vclr.evaluation.recall import score

Json = dict[str, Any]


def coco(names: list[str], first_id: int = 1) -> Json:
    """Return a json with one object per image, each in another place, numbered in the order of the names."""
    return {
        "images": [
            {"id": number, "file_name": name, "height": 40, "width": 60} for number, name in enumerate(names, first_id)
        ],
        "annotations": [
            {"id": number, "image_id": number, "category_id": 1, "bbox": [3 * ord(name[-5]) % 40, 4, 9, 9]}
            for number, name in enumerate(names, first_id)
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }


def perfect(truth: Json, names: list[str], first_id: int = 1) -> Json:
    """Return predictions of all objects, with other ids and other spellings of the same images."""
    scored = copy.deepcopy(truth)
    numbers = {image["id"]: len(names) - place + first_id for place, image in enumerate(truth["images"])}
    for image, name in zip(scored["images"], names, strict=True):
        image.update(id=numbers[image["id"]], file_name=name)
    for annotation in scored["annotations"]:
        annotation.update(image_id=numbers[annotation["image_id"]], score=0.9)
    return scored


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


NAMES = ["a.jpg", "b.jpg", "x/c.jpg"]


@pytest.mark.parametrize("first_id", [1, 2, 50])
@pytest.mark.parametrize("names", [NAMES, ["./a.jpg", ".//b.jpg", "x\\c.jpg"]])
def test_perfect_predictions_by_other_numbers_score_100(tmp_path: Path, names: list[str], first_id: int):
    truth = coco(NAMES)
    path = write(tmp_path / "p.json", perfect(truth, names, first_id))
    assert score(write(tmp_path / "a.json", truth), path)["box_ar@100"] == pytest.approx(100)
    assert score(truth, path)["box_ap"] == pytest.approx(100)


def test_results_go_by_the_ids_of_the_data_set(tmp_path: Path):
    truth = coco(NAMES)
    results = [{**entry, "score": 0.9} for entry in truth["annotations"]]
    assert score(truth, write(tmp_path / "r.json", results))["box_ar@100"] == pytest.approx(100)
    without_images = {"annotations": results}
    assert score(truth, write(tmp_path / "r.json", without_images))["box_ar@100"] == pytest.approx(100)


def test_predictions_of_other_images_do_not_count_and_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING, "vclr.coco")
    truth = coco(NAMES)
    path = write(tmp_path / "p.json", perfect(truth, ["a.jpg", "z.jpg", "x/c.jpg"]))
    with read_predictions(path, truth["images"], "a.json") as found:
        assert [(image, len(predictions)) for image, predictions in found] == [(1, 1), (3, 1)]
    assert "p.json: 1 images are not in a.json; they are ignored" in caplog.text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda p: [image.update(file_name=f"{image['id']}.png") for image in p["images"]],
            r"has no image in common with .*a\.json",
        ),
        (lambda p: p["images"][0].update(width=61), r"images\[0\]: a\.jpg is 61x40, but a\.json says 60x40"),
        (lambda p: p["images"][1].update(file_name="../b.jpg"), r"images\[1\]: file_name '\.\./b\.jpg' leaves"),
        (lambda p: p["images"][1].update(id=4), r"images\[1\]: id 4 occurs twice"),
        (
            lambda p: p["annotations"][1].update(image_id="3"),
            r"annotations\[1\]: image '3' is not .*\(it has the number 3",
        ),
        (lambda p: p["annotations"][1].update(image_id=None), r"annotations\[1\]: image None is not in `images`"),
        (lambda p: p["annotations"][1].pop("score"), r"annotations\[1\]: score None is not a finite number"),
        (lambda p: p.update(annotations={}), "is neither a list of COCO results nor a COCO json with scores"),
        (
            lambda p: [entry.update(bbox=[0.1, 0.1, 0.5, 0.5]) for entry in p["annotations"]],
            "all 3 boxes lie within 1 px",
        ),
    ],
)
def test_wrong_predictions_are_named(tmp_path: Path, change: Any, says: str):
    truth = coco(NAMES)
    predictions = perfect(truth, NAMES)
    change(predictions)
    path = write(tmp_path / "p.json", predictions)
    with pytest.raises(UserError, match=rf"p\.json: {says}") as caught:
        read_predictions(path, truth["images"], "a.json")
    assert "\n" not in str(caught.value)


def test_a_list_is_checked_like_a_file(caplog: pytest.LogCaptureFixture):
    truth = coco(NAMES)
    results = [{**entry, "score": 0.9} for entry in truth["annotations"]]
    score(truth, [{**results[0], "bbox": [500, 1, 9, 9]}, *results[1:]])
    assert "predictions: 1 box lies outside of its image, the first one at [0]" in caplog.text
    with pytest.raises(UserError, match=r"^predictions: all 3 boxes lie within 1 px"):
        score(truth, [{**entry, "bbox": [0.1, 0.1, 0.5, 0.5]} for entry in results])


def test_a_file_that_the_data_set_has_twice_is_ambiguous(tmp_path: Path):
    truth = coco(["a.jpg", "./a.jpg"])
    path = write(tmp_path / "p.json", perfect(coco(["a.jpg"]), ["a.jpg"]))
    with pytest.raises(
        UserError, match=r"a\.json: images\[0\] and images\[1\] are both a\.jpg, so predictions of .* are ambiguous"
    ):
        read_predictions(path, truth["images"], "a.json")


def test_images_in_common_are_counted():
    same = match_images(coco(["a.jpg", "z.jpg"])["images"], "p.json", coco(["./a.jpg", "b.jpg"])["images"], "a.json")
    assert (same.positions, same.num_common, same.num_others) == ({1: [0]}, 1, 1)
    assert match_images([], "p.json", coco(["a.jpg"])["images"], "a.json").num_common == 0
