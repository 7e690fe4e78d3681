"""The doctor says which tool's habit a json shows, and only if it shows one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.generate.importers import exports
from tests.generate.importers.test_exports import drawn
from vclr.coco.habits import find_root_category, original_name, without_upload_hash
from vclr.data.doctor.check import DataSet, check_files
from vclr.files import write_json
from vclr.finding import OK, WARNING, Finding
from vclr.worker_pool import WorkerPool


def find_habits(path: Path, images: Path) -> list[Finding]:
    findings = check_files(DataSet(path, images), WorkerPool(1, quiet=True)).findings
    return [finding for finding in findings if finding.topic == "habit of a tool"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for image in drawn()["images"]:
        Image.new("RGB", (120, 90)).save(tmp_path / image["file_name"])
    return tmp_path


@pytest.mark.parametrize(
    ("write", "level", "says"),
    [
        (exports.as_roboflow, OK, ["Roboflow's extra root category", "as Roboflow renames photos", "import roboflow"]),
        (exports.as_cvat_coco, WARNING, ["5 masks marked as crowds", "CVAT", "left out of training", "import cvat"]),
        (exports.as_label_studio_coco, OK, ["with backslashes", "Label Studio renames uploaded", "import labelstudio"]),
        (exports.as_via_coco, OK, ["5 polygons written as one flat list", "VIA", "import via"]),
    ],
)
def test_habit_is_named(write: Callable[..., Path], level: str, says: list[str], photos: Path):
    path = write(drawn(), photos / "export")
    found = find_habits(path, photos)
    assert {finding.level for finding in found} == {level}
    text = "\n".join(finding.says for finding in found)
    assert all(words in text for words in says), text


def test_plain_coco_shows_no_habit(photos: Path):
    write_json(photos / "plain.json", drawn())
    assert find_habits(photos / "plain.json", photos) == []


def test_crowds_of_coco_are_no_brush_masks(photos: Path):
    coco = drawn()
    path = exports.as_cvat_coco(coco, photos / "export")
    path.write_text(path.read_text().replace('"attributes"', '"attribute"').replace('"iscrowd": 1', '"iscrowd": 0', 3))
    assert find_habits(path, photos) == []


def test_masks_that_are_nearly_all_crowds_are_brush_masks(photos: Path):
    path = exports.as_cvat_coco(drawn(), photos / "export")
    path.write_text(path.read_text().replace('"attributes"', '"attribute"'))
    (found,) = find_habits(path, photos)
    assert "5 masks marked as crowds, and only 0 not" in found.says


def test_root_category():
    root = {"id": 0, "name": "pets", "supercategory": "none"}
    cat, dog = ({"id": key, "name": name, "supercategory": "pets"} for key, name in ((1, "cat"), (2, "dog")))
    assert find_root_category([root, cat, dog], {1}) == root
    assert find_root_category([root, cat, dog], {0, 1}) is None, "it has objects"
    assert find_root_category([root], set()) is None, "the only category"
    assert find_root_category([{**root, "id": []}, cat], set()) is not None
    assert find_root_category([cat, dog], set()) is None
    assert find_root_category([], set()) is None


def test_names():
    assert original_name({"file_name": "a/my_photo_jpg.rf.0af3.jpg"}) == "my_photo.jpg"
    assert original_name({"file_name": "x_png.rf.0af3.jpg", "extra": {"name": "X 1.png"}}) == "X 1.png"
    assert original_name({"file_name": "photo.jpg"}) is None
    assert without_upload_hash("1a2b3c4d-a-b.jpg") == "a-b.jpg"
    assert without_upload_hash("holiday-a.jpg") == "holiday-a.jpg"
