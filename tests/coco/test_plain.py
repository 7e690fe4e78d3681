"""`vclr score` gives the same metrics for odd but legal spellings of one ground truth and its predictions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vclr.coco.annotations import to_mask
from vclr.coco.plain import open_ground_truth
from vclr.errors import UserError
from vclr.evaluation.recall import score

Json = dict[str, Any]
BOXES = {1: (1, 10, 10, 40, 30), 2: (1, 60, 20, 30, 50), 3: (2, 5, 5, 100, 70)}  # image, x, y, width, height


def truth_and_results() -> tuple[Json, list[Json]]:
    images = [{"id": number, "file_name": f"{number}.jpg", "height": 90, "width": 120} for number in (1, 2)]
    annotations, results = [], []
    for number, (image, x, y, w, h) in BOXES.items():
        polygon = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        shape = {"image_id": image, "category_id": 2 * number, "bbox": [x, y, w, h], "segmentation": polygon}
        annotations.append({**shape, "id": number, "area": w * h, "iscrowd": 0})
        off = [[value + 4 for value in polygon[0]]]
        results.append({**shape, "bbox": [x + 4, y + 4, w, h], "segmentation": off, "score": number / 4})
    categories = [{"id": 2 * number, "name": str(number), "supercategory": "x"} for number in BOXES]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}, results


def as_floats(entries: list[Json], *keys: str) -> None:
    for entry in entries:
        entry.update({key: float(entry[key]) for key in keys})


def without(entries: list[Json], *keys: str) -> None:
    for entry in entries:
        for key in keys:
            del entry[key]


def as_counts(entries: list[Json]) -> None:
    for entry in entries:
        mask = to_mask(entry["segmentation"], 90, 120).ravel(order="F").tolist()
        counts, value = [0], 0
        for pixel in mask:
            if pixel != value:
                counts, value = [*counts, 0], pixel
            counts[-1] += 1
        entry["segmentation"] = {"size": [90, 120], "counts": counts}


def texts_as_ids(truth: Json, results: list[Json]) -> None:
    for image in truth["images"]:
        image["id"] = f"image {image['id']}"
    for entry in (*truth["annotations"], *results):
        entry["image_id"] = f"image {entry['image_id']}"


def addresses_instead_of_names(truth: Json, _: list[Json]) -> None:
    for image in truth["images"]:
        image["coco_url"] = "http://host/train/" + image.pop("file_name")


def nulls(truth: Json, _: list[Json]) -> None:
    for annotation in truth["annotations"]:
        annotation.update(iscrowd=None, bbox=None, keypoints=None)


SPELLINGS: dict[str, Callable[[Json, list[Json]], Any]] = {
    "no area": lambda truth, _: without(truth["annotations"], "area"),
    "no iscrowd": lambda truth, _: without(truth["annotations"], "iscrowd"),
    "no info": lambda truth, _: truth.pop("info"),
    "no bbox": lambda truth, results: without([*truth["annotations"], *results], "bbox"),
    "no file names": lambda truth, _: without(truth["images"], "file_name"),
    "addresses": addresses_instead_of_names,
    "no categories": lambda truth, _: truth.pop("categories"),
    "no names of categories": lambda truth, _: without(truth["categories"], "name"),
    "root category of Roboflow": lambda truth, _: truth["categories"].insert(0, {"id": 0, "name": "x"}),
    "float ids": lambda truth, results: [
        as_floats([*truth["images"], *truth["annotations"], *truth["categories"]], "id"),
        as_floats([*truth["annotations"], *results], "image_id", "category_id"),
        as_floats(truth["images"], "height", "width"),
    ],
    "texts as ids": texts_as_ids,
    "nulls": nulls,
    "counts": lambda truth, results: as_counts([*truth["annotations"], *results]),
    "extra keys": lambda _, results: [result.update(id=7, area=1, keypoints=[1, 2, 2]) for result in results],
    "results without category": lambda _, results: without(results, "category_id"),
}


def score_spelled(folder: Path, change: Callable[[Json, list[Json]], Any]) -> Json:
    truth, results = truth_and_results()
    change(truth, results)
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(results))
    return score(folder / "truth.json", folder / "results.json")


@pytest.mark.parametrize("name", SPELLINGS)
def test_spelling_does_not_matter(tmp_path: Path, name: str):
    expected = score_spelled(tmp_path, lambda *_: None)
    assert 0 < expected["mask_ar@10"] < 100
    assert score_spelled(tmp_path, SPELLINGS[name]) == expected


def test_box_is_that_of_the_usable_polygons(tmp_path: Path):
    truth, _ = truth_and_results()
    without(truth["annotations"], "bbox")
    truth["annotations"][0]["segmentation"].append([0, 0, 1, 1])
    truth["annotations"][1]["segmentation"] = [[0, 0, 1, 1]]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    kept = list(open_ground_truth(tmp_path / "truth.json").read_annotations())
    assert [annotation["bbox"] for annotation in kept] == [[10, 10, 40, 30], [5, 5, 100, 70]]


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("id", 1.5, "`id` is 1.5, but must be a whole number or text"),
        ("image_id", [1], "`image_id` is [1], but must be a whole number or text"),
        ("category_id", {}, "`category_id` is {}, but must be a whole number"),
        ("segmentation", "x", "segmentation is neither polygons nor RLE"),
        ("segmentation", {"size": [1, 1], "counts": "1"}, "RLE size [1, 1] differs"),
    ],
)
def test_what_is_not_legal_is_still_refused(tmp_path: Path, key: str, value: Any, says: str):
    truth, _ = truth_and_results()
    del truth["categories"], truth["annotations"][0]["bbox"]
    truth["annotations"][0][key] = value
    if key != "segmentation":
        truth["annotations"][0]["bbox"] = [10, 10, 40, 30]
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    with pytest.raises(UserError) as caught:
        open_ground_truth(tmp_path / "truth.json")
    assert says in str(caught.value)
