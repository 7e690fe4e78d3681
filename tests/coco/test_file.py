"""COCO json of any size: reading and writing preserves the content, and errors are the same as everywhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vclr.coco.annotations import load_coco
from vclr.coco.file import open_coco, open_despite_bad_numbers, write_coco
from vclr.errors import UserError
from vclr.files import read_json

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


BAD_NUMBERS = {
    '"area": NaN': "annotations[1] (id 2): area is NaN",
    '"quality": {"of": [1, Infinity]}': "annotations[1] (id 2): quality.of[1] is Infinity",
    '"area": -Infinity': "annotations[1] (id 2): area is -Infinity",
    '"area": 1e999': "annotations[1] (id 2): area is Infinity",
}


@pytest.mark.parametrize("text", BAD_NUMBERS)
@pytest.mark.parametrize("reader", [load_coco, lambda path: list(open_coco(path).check()), read_json])
def test_numbers_that_json_lacks_are_said_alike(path: Path, text: str, reader: Any):
    path.write_text(path.read_text().replace('"extra": {', f'{text}, "extra": {{'))
    if "1e999" in text and reader is read_json:
        return  # Python reads it as infinity; the checks refuse that later
    with pytest.raises(UserError) as caught:
        reader(path)
    assert str(caught.value) == f"{path}: {BAD_NUMBERS[text]}, which is not valid json"


def test_numbers_that_json_lacks_are_listed(path: Path):
    text = path.read_text().replace('"year": 2017', '"year": NaN').replace("1.5", "-Infinity").replace("5.25", "NaN")
    path.write_text(text.replace('"height": 8', '"height": Infinity'))
    coco = open_despite_bad_numbers(path)
    places = [(bad.key, bad.position) for bad in coco.bad_numbers]
    assert places == [("info", None), ("images", 0), ("annotations", 0)]
    assert [bad.says for bad in coco.bad_numbers][
        2
    ] == "annotations[0] (id 1): bbox[1] is -Infinity, which is not valid json"
    first, second = coco.read_annotations()
    assert first["bbox"] == [1, None, 4, 4]
    assert second == WORLD["annotations"][1]  # type: ignore[index]


@pytest.mark.parametrize("text", ["NaN", "[NaN]", '{"images": NaN, "annotations": []}', '{"annotations": NaN}'])
def test_a_number_that_json_lacks_in_the_place_of_a_list_is_refused(path: Path, text: str):
    path.write_text(text)
    with pytest.raises(UserError, match="is not a COCO json"):
        open_despite_bad_numbers(path)


def test_a_text_that_is_none_beside_a_number_that_json_lacks_is_one_line(path: Path):
    path.write_text(path.read_text().replace('"year": 2017', r'"year": NaN, "by": "\ud800"'))
    with pytest.raises(UserError, match="info: year is NaN, which is not valid json"):
        open_despite_bad_numbers(path)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32-be"])
def test_byte_order_marks_are_read_over(path: Path, encoding: str):
    mark = "\ufeff" if encoding == "utf-32-be" else ""
    path.write_text(mark + json.dumps(WORLD, ensure_ascii=False), encoding=encoding)
    assert load_coco(path) == WORLD
    assert open_despite_bad_numbers(path).images == WORLD["images"]


@pytest.mark.parametrize("start", [b"\x89PNG\r\n\x1a\n", b"PK\x03\x04\xff", b"{\xff\0\0\0"])
def test_binary_files_are_not_called_text(path: Path, start: bytes):
    path.write_bytes(start)
    for reader in (load_coco, open_coco, open_despite_bad_numbers, read_json):
        with pytest.raises(UserError, match=r"world\.json: is a binary file, not text"):
            reader(path)


@pytest.mark.parametrize("encoding", ["windows-1252", "utf-16-be"])
def test_other_encodings_are_named_with_the_way_out(path: Path, encoding: str):
    path.write_text(json.dumps(WORLD, ensure_ascii=False), encoding=encoding)
    for reader in (load_coco, open_coco, open_despite_bad_numbers, read_json):
        with pytest.raises(UserError, match=r"world\.json: line 1.*(iconv -f|not valid json)") as caught:
            reader(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("categories", "says"),
    [
        (
            [{"id": 2, "name": "dog"}, {"id": 2, "name": "cat"}],
            r"categories\[1\]: id 2 is 'cat' here, but 'dog' in categories\[0\]",
        ),
        ([{"id": "2", "name": "dog"}], r"categories\[0\]: `id` is '2', but must be a whole number"),
    ],
)
def test_one_id_of_two_categories_is_refused(path: Path, categories: Any, says: str):
    path.write_text(json.dumps({**WORLD, "categories": categories}))
    for reader in (load_coco, lambda path: list(open_coco(path).check())):
        with pytest.raises(UserError, match=says):
            reader(path)


def test_a_category_that_is_there_twice_does_no_harm(path: Path):
    path.write_text(json.dumps({**WORLD, "categories": [{"id": 2, "name": "dog"}] * 2}))
    assert len(load_coco(path)["annotations"]) == 2
