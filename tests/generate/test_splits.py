"""Splits: known and novel classes share no object and leave none out."""

from __future__ import annotations

from pathlib import Path

import pytest

from vclr.coco import load_coco
from vclr.errors import UsageError, UserError
from vclr.files import write_json
from vclr.generate.splits import SPLITS, TOY_KNOWN_CLASSES, VOC_CLASSES, write_split
from vclr.generate.toy import CATEGORIES


def write_world(path: Path, names: list[str]) -> Path:
    """Two images; in the first an object of every class, in the second the last class only, and a crowd."""
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    images = [{"id": number, "file_name": f"{number}.png", "height": 9, "width": 9} for number in (1, 2)]
    objects = [(1, category["id"], 0) for category in categories] + [(2, len(names), 0), (2, 1, 1)]
    annotations = [
        {"id": number, "image_id": image, "category_id": category, "iscrowd": crowd, "bbox": [1, 1, 2, 2]}
        for number, (image, category, crowd) in enumerate(objects)
    ]
    write_json(path, {"images": images, "annotations": annotations, "categories": categories})
    return path


@pytest.mark.parametrize(
    ("known", "novel", "classes"), [("voc", "nonvoc", VOC_CLASSES), ("toy_known", "toy_novel", TOY_KNOWN_CLASSES)]
)
def test_known_and_novel_part_the_annotations(tmp_path: Path, known: str, novel: str, classes: tuple[str, ...]):
    path = write_world(tmp_path / "all.json", [*classes, "zebra", "spoon"])
    parts = []
    for name in (known, novel):
        summary = write_split(name, path, tmp_path / f"{name}.json")
        parts.append(load_coco(tmp_path / f"{name}.json"))
        assert str(tmp_path / f"{name}.json") in summary
    kept = [{category["name"] for category in part["categories"]} for part in parts]
    assert kept == [set(classes), {"zebra", "spoon"}]
    assert [image["id"] for image in parts[0]["images"]] == [1], "a crowd alone does not keep an image"
    assert [image["id"] for image in parts[1]["images"]] == [1, 2]
    ids = [{annotation["id"] for annotation in part["annotations"]} for part in parts]
    assert not ids[0] & ids[1]
    assert len(ids[0]) == len(classes)
    assert len(ids[1]) == 3


def test_classes_are_those_of_the_data_sets():
    assert len(VOC_CLASSES) == len(set(VOC_CLASSES)) == 20
    known = [category["name"] for category in CATEGORIES if category["supercategory"] == "known"]
    assert sorted(known) == sorted(TOY_KNOWN_CLASSES)


def test_unknown_split_names_the_nearest(tmp_path: Path):
    with pytest.raises(UsageError, match="unknown split 'novoc'; nearest: nonvoc"):
        write_split("novoc", tmp_path / "all.json", tmp_path / "part.json")


@pytest.mark.parametrize("name", SPLITS)
def test_json_without_the_classes_leaves_nothing(tmp_path: Path, name: str):
    path = write_world(tmp_path / "all.json", ["zebra"])
    with pytest.raises(UserError, match=r"all\.json: has no category"):
        write_split(name, path, tmp_path / "part.json")
    assert [entry.name for entry in tmp_path.iterdir()] == ["all.json"]
