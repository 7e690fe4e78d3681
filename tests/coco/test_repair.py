"""`vclr repair`: what is usable stays as it is written, what went is recorded, and no other file is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vclr.cli import app
from vclr.errors import UsageError, UserError
from vclr.files import read_json, sha256

Json = dict[str, Any]

# Written by hand: the forms of numbers, the order of keys and unknown keys stay.
KEPT = '{"id": "x", "area": 1.50, "bbox": [1, 1.0, 4, 4e0], "category_id": 2, "image_id": 1, "note": {"ä": [null]}}'
SOUND = '{"id": 4, "image_id": 1, "category_id": 2, "bbox": [1, 1, 4, 4], "segmentation": []}'
EMPTY = '{"id": 2, "image_id": 1, "category_id": 2, "bbox": [1, 1, 0, 4]}'
PARTS = (
    '{"id": 3, "image_id": 1, "category_id": 2, "bbox": [1, 1, 4, 4], '
    '"segmentation": [[1, 1], [1, 1, 5, 1, 5, 5]], "k": 1}'
)
# LVIS has no `file_name`.
HEAD = (
    '"info": {"year": 2017, "n": 1.50}, "images": [{"id": 1, "coco_url": "http://x/a.png", "height": 8, "width": 10}]'
)


def write(path: Path, *annotations: str, encoding: str = "utf-8", more: str = "") -> Path:
    path.write_text(f'{{{HEAD}, "annotations": [{", ".join(annotations)}]{more}}}', encoding=encoding)
    return path


def repair(path: Path, output: Path) -> str:
    """Run the command and return what it prints."""
    result = CliRunner().invoke(app, ["repair", str(path), "--output", str(output)], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output


CLASSES = ', "categories": [{"id": 2, "name": "dog", "synset": "dog.n.01"}], "last": [1.0]'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_everything_else_stays_as_it_is_written(tmp_path: Path, encoding: str):
    path = write(tmp_path / "a.json", KEPT, EMPTY, PARTS, SOUND, encoding=encoding, more=CLASSES)
    said = repair(path, tmp_path / "b.json")
    text = (tmp_path / "b.json").read_text(encoding="utf-8")
    for part in (KEPT, SOUND, HEAD.split(", ", 1)[0].partition(": ")[2], "[1.0]"):
        assert part in text
    before, after = json.loads(path.read_text(encoding=encoding)), json.loads(text)
    changed = {**before["annotations"][2], "segmentation": [[1, 1, 5, 1, 5, 5]]}
    assert after == {**before, "annotations": [before["annotations"][0], changed, before["annotations"][3]]}
    assert "1 of 4 annotations dropped (1 empty box)" in said
    assert "    annotations[1] (id 2): box is 0x4 px\n" in said


def test_a_file_without_categories_gets_none(tmp_path: Path):
    path = write(tmp_path / "a.json", KEPT.replace('"category_id": 2', '"category_id": 1'))
    repair(path, tmp_path / "b.json")
    assert read_json(tmp_path / "b.json") == read_json(path)


def test_the_record_lists_what_went_and_why(tmp_path: Path):
    path = write(tmp_path / "a.json", KEPT, EMPTY, PARTS, more=CLASSES)
    texts = set()
    for folder in ("one", "two", "one"):  # again over its own output
        repair(path, tmp_path / folder / "b.json")
        texts.add(((tmp_path / folder / "b.json").read_bytes(), (tmp_path / folder / "b.record.json").read_bytes()))
    assert len(texts) == 1
    record = read_json(tmp_path / "one" / "b.record.json")
    assert record["repaired"] == {"file": "a.json", "bytes": path.stat().st_size, "sha256": sha256(path)}
    assert (record["annotations"], record["annotations_kept"]) == (3, 2)
    assert record["annotations_dropped"] == {"empty boxes": 1}
    assert record["polygons_dropped"] == {"polygons under three points": 1}
    assert record["output"]["sha256"] == sha256(tmp_path / "one" / "b.json")
    assert record["entries"] == [
        {"position": 1, "id": 2, "image_id": 1, "dropped": "annotation", "why": ["box is 0x4 px"]},
        {
            "position": 2,
            "id": 3,
            "image_id": 1,
            "dropped": "polygons",
            "why": ["polygon 0 has 1 point, fewer than 3"],
        },
    ]


def test_nothing_to_repair(tmp_path: Path):
    path = write(tmp_path / "a.json", KEPT, SOUND, more=CLASSES)
    assert f"{path}: nothing to repair\n" in repair(path, tmp_path / "b.json")
    assert read_json(tmp_path / "b.json") == read_json(path)


@pytest.mark.parametrize("bad", ['{"id": 9}', KEPT.replace('"image_id": 1', '"image_id": 5'), KEPT[:-1]])
def test_what_cannot_be_read_is_one_line_and_nothing_is_written(tmp_path: Path, bad: str):
    good = write(tmp_path / "a.json", KEPT, EMPTY, more=CLASSES)
    repair(good, tmp_path / "b.json")
    write(good, EMPTY, bad, more=CLASSES)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(UserError, match=r"a\.json: ") as caught:
        repair(good, tmp_path / "b.json")
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("a.json", "is also given as ANNOTATIONS"),
        ("link.json", "is also given as ANNOTATIONS"),
        ("other.json", "is not a repaired json"),
        ("notes.json", "was not written by this command"),
        ("split.json", "was not written by this command"),
        ("folder", "is a folder"),
    ],
)
def test_no_other_file_is_written_over(tmp_path: Path, output: str, says: str):
    path = write(tmp_path / "a.json", KEPT, EMPTY, more=CLASSES)
    (tmp_path / "link.json").symlink_to(path)
    (tmp_path / "folder").mkdir()
    write(tmp_path / "other.json", KEPT)
    write(tmp_path / "split.json", KEPT)
    (tmp_path / "split.record.json").write_text('{"split": "voc"}')
    (tmp_path / "notes.json").write_text('{"my": "notes"}')
    before = {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()}
    with pytest.raises(UsageError, match=says):
        repair(path, tmp_path / output)
    assert {file: file.read_bytes() for file in tmp_path.iterdir() if file.is_file()} == before
