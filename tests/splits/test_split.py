"""Splits: known and novel classes share no object and leave none out, whatever order and numbers the files have."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.shared import PHOTOS
from tests.splits.made import write_split
from vclr.catalog.classes import COCO_CLASSES, TOY_KNOWN_CLASSES, VOC_CLASSES
from vclr.catalog.data_sets import SPLITS
from vclr.coco.annotations import load_coco
from vclr.errors import UsageError, UserError
from vclr.files import read_json, sha256, write_json
from vclr.generate.toy import CATEGORIES
from vclr.splits.split import find_split

needs_photos = pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED for annotations")


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


def split_of(path: Path, name: str, **options: Any) -> dict[str, Any]:
    output = path.parent / f"made_{name}.json"
    write_split(name, path, output, **options)
    return load_coco(output)


def counts_of(coco: dict[str, Any]) -> Counter[int]:
    return Counter(annotation["category_id"] for annotation in coco["annotations"] if not annotation.get("iscrowd", 0))


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


def test_crowds_of_a_kept_image_stay_crowds(tmp_path: Path):
    coco = read_json(write_world(tmp_path / "all.json", [*VOC_CLASSES, "zebra"]))
    coco["annotations"] += [{**coco["annotations"][0], "id": 90, "iscrowd": 1}]
    write_json(tmp_path / "all.json", coco)
    for name in ("voc", "one_class"):
        kept = split_of(tmp_path / "all.json", name)["annotations"]
        assert {annotation["id"] for annotation in kept if annotation["iscrowd"]} >= {90}


def test_unknown_fields_pass_through(tmp_path: Path):
    coco = read_json(write_world(tmp_path / "all.json", list(VOC_CLASSES)))
    coco["info"] = {"year": 2017}
    coco["images"][0]["license"] = 3
    coco["annotations"][0] |= {"attributes": {"occluded": [True, None, "ä"]}, "segmentation": []}
    write_json(tmp_path / "all.json", coco)
    write_split("voc", tmp_path / "all.json", tmp_path / "voc.json")
    assert read_json(tmp_path / "voc.json") == coco


def test_one_class_is_everything_as_objects(tmp_path: Path):
    path = write_world(tmp_path / "all.json", ["ring", "disk"])
    coco = read_json(path)
    del coco["annotations"][0]["iscrowd"]
    write_json(path, coco)
    made = split_of(path, "one_class")
    assert made["categories"] == [{"id": 1, "name": "object"}]
    expected = [{"category_id": 1, "iscrowd": 0, "area": 4, **annotation} for annotation in coco["annotations"]]
    assert made["annotations"] == [{**annotation, "category_id": 1} for annotation in expected]


def test_classes_of_splits_are_those_of_the_data_sets():
    known = [category["name"] for category in CATEGORIES if category["supercategory"] == "known"]
    assert sorted(known) == sorted(TOY_KNOWN_CLASSES)
    assert SPLITS["voc"].classes == SPLITS["nonvoc"].classes == SPLITS["uvo_nonvoc"].classes == VOC_CLASSES
    for name in ("coco", "lvis_noncoco", "objects365_noncoco"):
        assert SPLITS[name].classes == COCO_CLASSES


def test_unknown_split_names_the_nearest(tmp_path: Path):
    with pytest.raises(UsageError, match="unknown split 'novoc'; nearest: nonvoc"):
        write_split("novoc", tmp_path / "all.json", tmp_path / "part.json")
    for name in ("nonvoc_top5", "voc_top", "voc_top0", "cat_top5", "voc_top5x"):
        with pytest.raises(UsageError, match=f"unknown split '{name}'"):
            find_split(name)


@pytest.mark.parametrize("name", [name for name in SPLITS if SPLITS[name].classes])
def test_json_without_the_classes_leaves_nothing(tmp_path: Path, name: str):
    path = write_world(tmp_path / "all.json", ["zebra"])
    with pytest.raises(UserError, match=r"all\.json: (has no category|categories\[0\]: has no `synset`)"):
        write_split(name, path, tmp_path / "part.json")
    assert [entry.name for entry in tmp_path.iterdir()] == ["all.json"]


def test_misspelled_class_is_named_with_the_nearest(tmp_path: Path):
    names = ["aeroplane" if name == "airplane" else name for name in VOC_CLASSES]
    with pytest.raises(UserError, match=r"all\.json: has no category 'airplane'; nearest: 'aeroplane'"):
        split_of(write_world(tmp_path / "all.json", names), "nonvoc")


def test_all_categories_of_a_name_are_of_that_class(tmp_path: Path):
    path = write_world(tmp_path / "all.json", [*VOC_CLASSES, "person", "zebra"])
    assert {category["name"] for category in split_of(path, "nonvoc")["categories"]} == {"zebra"}


def test_images_that_are_kept_must_exist(tmp_path: Path):
    path = write_world(tmp_path / "all.json", [*VOC_CLASSES, "zebra"])
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").touch()
    split_of(path, "voc", images=tmp_path / "images")
    with pytest.raises(UserError, match=r"all\.json: image 2: file .*2\.png does not exist"):
        split_of(path, "nonvoc", images=tmp_path / "images")
    with pytest.raises(UserError, match="pictures: no such folder"):
        split_of(path, "voc", images=tmp_path / "pictures")


def renumber(coco: dict[str, Any], seed: int) -> dict[str, Any]:
    """Return the same data set with its lists in another order and other numbers for its categories."""
    numbers = random.Random(seed)
    shuffled = {**coco, **{key: numbers.sample(coco[key], len(coco[key])) for key in ("images", "annotations")}}
    ids = {entry["id"]: number for number, entry in enumerate(numbers.sample(coco["categories"], 80), start=7)}
    shuffled["categories"] = [{**entry, "id": ids[entry["id"]]} for entry in coco["categories"]]
    shuffled["annotations"] = [{**entry, "category_id": ids[entry["category_id"]]} for entry in shuffled["annotations"]]
    return shuffled


@needs_photos
@pytest.mark.parametrize("name", ["voc", "nonvoc", "coco"])
def test_order_and_numbers_do_not_matter(tmp_path: Path, name: str):
    coco = read_json(PHOTOS / "annotations.json")
    write_json(tmp_path / "first.json", coco)
    write_json(tmp_path / "second.json", renumber(coco, seed=3))
    found = []
    for path in (tmp_path / "first.json", tmp_path / "second.json"):
        made = split_of(path, name)
        classes = {category["id"]: category["name"] for category in made["categories"]}
        annotations = {
            annotation["id"]: (annotation["image_id"], annotation["bbox"], classes[annotation["category_id"]])
            for annotation in made["annotations"]
        }
        found.append((annotations, {image["id"] for image in made["images"]}))
    assert found[0] == found[1]


# What `vclr split` writes of annotations.json of the 100 photos: images, objects, crowds, sha256.
PINNED = {
    "voc": (77, 476, 7, "059388b60b24dd96f2ffc1e2aa917024ae3df89abffe93f019ec4cb7c10a025c"),
    "nonvoc": (79, 366, 3, "90c023e42cd99365411be0310a399c8b0b4986c11e9c976e842e107d09a4cfad"),
    "coco": (97, 842, 10, "6c16f66b22360742b9b96b95293f89df62128ee98405c69fe123aa6c546f9343"),
    "uvo_nonvoc": (79, 366, 3, "87491ecf15b533b65de1aab6ab2bd623314940d9e2d7ee000114071c03896dec"),
    "one_class": (97, 842, 10, "d830e50ebd913aa18057f9032fe8aa0d46919bedd992266a116d9e360afe8982"),
}


@needs_photos
@pytest.mark.parametrize("name", PINNED)
def test_bytes_of_splits_of_photos(tmp_path: Path, name: str):
    images, objects, crowds, digest = PINNED[name]
    summary = write_split(name, PHOTOS / "annotations.json", tmp_path / "part.json", images=PHOTOS / "images")
    assert f"{images} images, {objects} objects, {crowds} crowds" in summary
    assert sha256(tmp_path / "part.json") == digest


@needs_photos
def test_known_and_novel_objects_of_photos(tmp_path: Path):
    """Class by class as the file beside the photos says, made by another hand."""
    listed = read_json(PHOTOS / "known_novel.json")
    everything = counts_of(read_json(PHOTOS / "annotations.json"))
    for name, ids in (("voc", listed["known_ids"]), ("nonvoc", listed["novel_ids"])):
        write_split(name, PHOTOS / "annotations.json", tmp_path / f"{name}.json")
        made = load_coco(tmp_path / f"{name}.json")
        assert {category["id"] for category in made["categories"]} == set(ids)
        assert counts_of(made) == Counter({number: everything[number] for number in ids if everything[number]})
