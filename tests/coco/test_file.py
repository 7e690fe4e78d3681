"""COCO json of any size: what is read and written again is the same, and what is wrong is named as everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vclr.coco.annotations import load_coco
from vclr.coco.file import open_coco, write_coco
from vclr.errors import UserError

WORLD = {
    "info": {"year": 2017},
    "images": [{"id": 1, "file_name": "a.png", "height": 8, "width": 10}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 2, "bbox": [1, 1.5, 4, 4], "segmentation": [[1, 1, 5, 1, 5, 5.25]]},
        {"id": 2, "image_id": 1, "category_id": 2, "bbox": [1, 1, 4, 4], "extra": {"kept": ["ä", None]}},
    ],
    "categories": [{"id": 2, "name": "dog"}],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "world.json").write_text(json.dumps(WORLD))
    return tmp_path / "world.json"


def test_what_is_written_is_what_was_read(path: Path, tmp_path: Path):
    coco = open_coco(path)
    write_coco(tmp_path / "again.json", coco.head, coco.check())
    assert json.loads((tmp_path / "again.json").read_text()) == WORLD
    assert load_coco(tmp_path / "again.json") == WORLD


def test_no_annotation_is_an_empty_list(tmp_path: Path):
    write_coco(tmp_path / "empty.json", {"images": []}, [])
    assert json.loads((tmp_path / "empty.json").read_text()) == {"images": [], "annotations": []}


@pytest.mark.parametrize("text", ["5", "[]", "{}", '{"images": []}', '{"images": {}, "annotations": []}'])
def test_other_json_is_refused(tmp_path: Path, text: str):
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(UserError, match=r"other\.json: is not a COCO json"):
        open_coco(tmp_path / "other.json")


def test_json_cut_off_is_refused(path: Path):
    text = path.read_text()
    for cut in range(0, len(text), 23):
        path.write_text(text[:cut])
        with pytest.raises(UserError, match="not valid json") as caught:
            open_coco(path)
        assert "\n" not in str(caught.value)


def test_a_wrong_entry_is_named_and_nothing_is_written(path: Path, tmp_path: Path):
    path.write_text(json.dumps({**WORLD, "annotations": [*WORLD["annotations"], WORLD["annotations"][0]]}))
    coco = open_coco(path)
    with pytest.raises(UserError, match=r"world\.json: annotations\[2\] \(id 1\): the id occurs twice"):
        write_coco(tmp_path / "again.json", coco.head, coco.check())
    assert [entry.name for entry in tmp_path.iterdir()] == ["world.json"]
