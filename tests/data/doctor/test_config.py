"""The other data of a configuration: views, class groups, proposals, a second data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data.doctor.world import HEIGHT, WIDTH, World, notes, only, wrong
from tests.splits.made import write_record
from vclr.files import write_json
from vclr.finding import ERROR, WARNING
from vclr.pictures import write_png


def test_views(world: World):
    depth = world.folder / "depth"
    (depth / "a.png").unlink()
    assert f"{depth}: view depth of a.png: does not exist; refused" in only(world.check(), "missing view", ERROR)
    (depth / "a.png").write_text("not an image")
    says = only(world.check(), "unreadable view", ERROR)
    assert f"{depth}/a.png: is not an image; stops training when it is read" in says
    write_png(depth / "a.png", np.zeros((HEIGHT, WIDTH - 1, 3), np.uint8))
    says = only(world.check_config(), "size of a view", ERROR)
    assert f"{depth}/a.png: is 59x40, but its photo a.png is 60x40" in says
    without = "views.weights={natural: 1, depth: 0}", "model.criterion.weight_dict.loss_consistency=0"
    assert wrong(world.check_config(*without)) == [], "a view that is not drawn"
    assert "training uses only the photos: " in only(world.check_config(without[0]), "no view", WARNING)


def test_missing_views_under_a_policy(world: World):
    depth = world.folder / "depth"
    (depth / "a.png").unlink()
    natural = "views.weights={natural: 1, depth: 1}"
    says = only(world.check_config("views.missing=photo", natural), "missing view", WARNING)
    assert f"{depth}: view depth of a.png: does not exist; the photo stands in (views.missing=photo)" in says
    says = only(world.check_config("views.missing=skip", natural), "missing view", WARNING)
    assert "the view is not drawn for this photo" in says
    found = wrong(world.check_config("views.missing=skip", "views.weights={natural: 0, depth: 1}"))
    assert [finding.level for finding in found] == [WARNING, ERROR]
    assert "1 photos have none of the views that are drawn; the first: a.png" in found[1].says
    for name in ("b.png", "c.png"):
        (depth / name).unlink()
    found = wrong(world.check_config("views.missing=photo", natural))
    assert [finding.level for finding in found] == [ERROR] * 3, "a view that no photo has"


def test_view_names(world: World):
    says = only(world.check_config("views.weights={natural: 1, dept: 1}"), "unknown view", ERROR)
    assert "views.weights.dept: no folder" in says
    assert "nearest: depth" in says
    assert wrong(world.check_config("views.weights={natural: 1, edge: 1}")) == []
    says = only(world.check_config("data.train.views.style=absent"), "missing view", ERROR)
    assert "view style: absent: does not exist; refused" in says


def test_groups_of_classes(world: World):
    says = only(world.check_config("evaluation.groups={known: [dog, cup], novel: [cap]}"), "class of a group", ERROR)
    assert "evaluation.groups.novel: " in says
    assert "has no category 'cap'; nearest: 'cup'; it has dog, cup; refused" in says
    says = only(world.check_config("evaluation.groups={known: [dog]}"), "class in no group", WARNING)
    assert "category 'cup' (id 2) with 3 annotations; its objects are in no group" in says
    world.categories[1]["name"] = "dog"
    says = only(world.check_config("evaluation.groups={known: [dog]}"), "class name twice", WARNING)
    assert "2 categories are called 'dog'" in says


def test_several_classes_are_trained_on_as_one(world: World):
    assert "has objects of 2 classes; trained on as one class" in notes(world.check_config())["classes"]
    world.annotations = [{**annotation, "category_id": 1} for annotation in world.annotations]
    assert "classes" not in notes(world.check_config())


@pytest.mark.parametrize("categories", ["dog", [{"id": "1", "name": "dog"}, {"id": 2, "name": "cup"}]])
def test_wrong_categories(world: World, categories: Any):
    world.categories = categories
    world.annotations = [annotation for annotation in world.annotations if annotation["category_id"] == 2]
    findings = [finding for finding in wrong(world.check()) if finding.topic == "form of an entry"]
    (finding,) = findings
    assert "`categories` is not a list" in finding.says or "categories[0]: `id` is '1'" in finding.says


def test_proposals(world: World):
    assert "p.json: 1 proposals for 1 of 3 photos of the training set" in notes(world.check_config())["proposals"]
    proposal = world.proposals["annotations"][0]
    proposal["score"] = "high"
    says = only(world.check_config(), "proposal without score", ERROR)
    assert "p.json: annotations[0] (id 1): has no numeric `score`; refused" in says
    proposal["score"] = 1
    world.proposals["images"][1]["file_name"] = "z.png"
    says = only(world.check_config(), "proposals of other photos", WARNING)
    assert "p.json: 1 of 3 images are not in the training set; ignored in training" in says
    world.proposals["images"][1].update(file_name="b.png", width=WIDTH + 1)
    says = only(world.check_config(), "size of proposals", ERROR)
    assert "images[1] (b.png): is 61x40, but 60x40 in the training set; refused before anything starts" in says
    world.proposals["images"][1]["width"] = WIDTH
    proposal["bbox"] = [1, 1]
    assert "p.json: annotations[0] (id 1): bbox [1, 1]" in only(world.check_config(), "box", ERROR)


def test_proposals_of_annotations_that_hold_some(world: World):
    world.annotations[0]["score"] = 0.5
    says = only(world.check_config(), "proposals twice", ERROR)
    assert "p.json: 1 annotations of the training set have a `score`, so they are object proposals already" in says
    world.annotations[0]["score"] = None
    assert "proposals twice" not in {finding.topic for finding in wrong(world.check_config())}
    del world.annotations[0]["score"]
    write_record(world.folder / "a.json", "all.json", "q.json")
    says = only(world.check_config(), "proposals twice", ERROR)
    assert "a.json holds object proposals already (those of q.json); leave data.train.proposals out" in says


def test_two_sets(world: World, tmp_path: Path):
    """Each is checked for its own use; common photos are reported, and ids that stand for different photos."""
    assert "a.json: is the training set and the test set" in notes(world.check_config())["one set"]
    world.annotations[0]["area"] = 900
    train = world.write()
    entries = json.loads(train.read_text())
    entries["images"][0]["file_name"], entries["images"][1]["file_name"] = "b.png", "d.png"
    (tmp_path / "images" / "d.png").write_bytes((tmp_path / "images" / "a.png").read_bytes())
    write_json(tmp_path / "b.json", entries)
    report = world.check_config(f"data.test.annotations={tmp_path}/b.json")
    area, common = wrong(report)
    assert "b.json: annotations[0]" in area.says, "a training does not look at areas"
    assert (
        "b.json: 2 of 3 photos are also in the training set; the evaluation includes photos of the training"
        in common.says
    )
    assert "2 image ids stand for other photos in" in notes(report)["image ids"]
    assert "other images" not in notes(report), "what the other json names is used"
    assert report.summarize().startswith("6 images, 12 annotations: 0 errors, 2 warnings")
