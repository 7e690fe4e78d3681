"""Training sets with proposals: the known annotations of each image, and its best proposals that are none of them."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.object_proposals.joined import add_slowly
from tests.shared import PHOTOS
from tests.splits.made import write_split
from vclr.catalog.classes import TOY_KNOWN_CLASSES
from vclr.coco.annotations import load_coco, select
from vclr.errors import UsageError, UserError
from vclr.files import read_json, write_json

SIZE = {"height": 40, "width": 60}


@pytest.fixture
def world(tmp_path: Path) -> dict[str, Any]:
    """Two images: a disk and a crowd of disks in the first, a ring in the second; two proposals file entries each."""
    names = [*TOY_KNOWN_CLASSES, "ring"]
    images = [{"id": number, "file_name": name, **SIZE} for number, name in ((4, "a.png"), (9, "b.png"))]
    annotations = [
        {"id": 20, "image_id": 4, "category_id": 1, "iscrowd": 0, "area": 100, "bbox": [0, 0, 10, 10]},
        {"id": 21, "image_id": 4, "category_id": 1, "iscrowd": 1, "area": 900, "bbox": [20, 0, 30, 30]},
        {"id": 22, "image_id": 9, "category_id": 7, "iscrowd": 0, "area": 100, "bbox": [0, 0, 10, 10]},
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    coco = {"images": images, "annotations": annotations, "categories": categories}
    write_json(tmp_path / "all.json", coco)
    return coco


def write_proposals(folder: Path, entries: list[tuple[int, list[float], Any]], **image: Any) -> Path:
    images = [{"id": 1, "file_name": "b.png", **SIZE}, {"id": 2, "file_name": "a.png", **SIZE, **image}]
    annotations = [
        {"id": number, "image_id": owner, "category_id": 1, "bbox": box, "score": score, "kind": "graph"}
        for number, (owner, box, score) in enumerate(entries)
    ]
    write_json(folder / "proposals.json", {"images": images, "annotations": annotations})
    return folder / "proposals.json"


def test_known_annotations_and_best_proposals(tmp_path: Path, world: dict[str, Any]):
    entries: list[tuple[int, list[float], Any]] = [
        (2, [1, 0, 10, 10], 0.9),  # the disk
        (2, [20, 0, 30, 30], 0.3),  # one of the crowd's
        (2, [0, 20, 10, 10], 0.8),
        (2, [0, 21, 10, 10], 0.7),  # the same again
        (2, [50, 30, 9, 9], 0.1),  # one too many
        (1, [0, 20, 10, 10], 0.8),  # of an image without known objects
    ]
    path = write_proposals(tmp_path, entries)
    write_split("toy_known_top2", tmp_path / "all.json", tmp_path / "part.json", path)
    made = load_coco(tmp_path / "part.json")
    assert made["categories"] == [{"id": 1, "name": "object"}]
    assert [image["file_name"] for image in made["images"]] == ["a.png"]
    assert made["annotations"][:2] == world["annotations"][:2]
    joined = made["annotations"][2:]
    assert [annotation["bbox"] for annotation in joined] == [[0, 20, 10, 10], [20, 0, 30, 30]]
    assert [(annotation["id"], annotation["image_id"]) for annotation in joined] == [(22, 4), (23, 4)]
    assert [(annotation["score"], annotation["kind"], annotation["area"]) for annotation in joined] == [
        (0.8, "graph", 100),
        (0.3, "graph", 900),
    ]
    record = read_json(tmp_path / "part.record.json")
    assert record["proposals"]["file"] == "proposals.json"
    assert (record["proposals"]["per_image"], record["proposals"]["chosen"]) == (2, 2)
    assert (record["objects"], record["crowds"]) == (3, 1)


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED for annotations")
def test_the_choice_agrees_with_a_second_implementation(tmp_path: Path):
    """The order of the proposals does not matter."""
    coco = read_json(PHOTOS / "annotations.json")
    numbers = random.Random(0)
    proposals = []
    for image in coco["images"]:
        for _ in range(12):
            x, y = numbers.uniform(0, image["width"] / 2), numbers.uniform(0, image["height"] / 2)
            box = [x, y, image["width"] / 2 * numbers.random(), image["height"] / 2 * numbers.random()]
            number = len(proposals) + 1
            score = round(numbers.random(), 1)
            proposals.append({"id": number, "image_id": image["id"], "category_id": 1, "bbox": box, "score": score})
    made = []
    for name in ("p.json", "shuffled.json"):
        write_json(tmp_path / name, {"images": coco["images"], "annotations": proposals})
        write_split("voc_top5", PHOTOS / "annotations.json", tmp_path / f"made_{name}", tmp_path / name)
        made.append(read_json(tmp_path / f"made_{name}"))
        numbers.shuffle(proposals)
    write_split("voc", PHOTOS / "annotations.json", tmp_path / "voc.json")
    voc = select(load_coco(tmp_path / "voc.json"), lambda annotation: not annotation["iscrowd"])
    expected = add_slowly(voc, tmp_path / "p.json", top_k=5, max_iou=0.5)["annotations"]
    boxes = [(annotation["image_id"], annotation["bbox"]) for annotation in expected]
    for split in made:
        found = [annotation for annotation in split["annotations"] if not annotation["iscrowd"]]
        assert [(annotation["image_id"], annotation["bbox"]) for annotation in found] == boxes
    assert len(boxes) > 476 + 2 * 77


def test_proposals_are_needed_where_they_join_and_nowhere_else(tmp_path: Path, world: dict[str, Any]):
    path = write_proposals(tmp_path, [(2, [0, 20, 10, 10], 0.8)])
    with pytest.raises(UsageError, match="toy_known_top2: needs --proposals FILE"):
        write_split("toy_known_top2", tmp_path / "all.json", tmp_path / "part.json")
    with pytest.raises(UsageError, match="toy_known: has no proposals"):
        write_split("toy_known", tmp_path / "all.json", tmp_path / "part.json", path)


def test_wrong_proposals_are_named(tmp_path: Path, world: dict[str, Any]):
    arguments = "toy_known_top2", tmp_path / "all.json", tmp_path / "part.json"
    path = write_proposals(tmp_path, [(2, [0, 20, 10, 10], "high")])
    with pytest.raises(UserError, match=r"proposals\.json: annotations\[0\] \(id 0\): has no `score`"):
        write_split(*arguments, path)
    path = write_proposals(tmp_path, [(2, [0, 20, 10], 0.5)])
    with pytest.raises(
        UserError, match=r"proposals\.json: annotations\[0\] \(id 0\): bbox \[0\.0, 20\.0, 10\.0\] is not"
    ):
        write_split(*arguments, path)
    path = write_proposals(tmp_path, [(2, "box", 0.5)])  # type: ignore[list-item]
    with pytest.raises(UserError, match=r"proposals\.json: annotations\[0\]: is not an object proposal: .*`\$\.bbox`"):
        write_split(*arguments, path)
    path = write_proposals(tmp_path, [], width=61)
    with pytest.raises(UserError, match=r"proposals\.json: images\[1\]: a\.png is 61x40, but .*all\.json says 60x40"):
        write_split(*arguments, path)
    path = write_proposals(tmp_path, [], file_name="c.png")
    with pytest.raises(
        UserError,
        match=r"proposals\.json: has no image in common with .*all\.json: it has .*, for example, and .* has a\.png",
    ):
        write_split(*arguments, path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["all.json", "proposals.json"]
