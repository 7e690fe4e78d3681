"""A published json beside the split that we make: equal for all that matters, and each difference said once."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.shared import PHOTOS
from tests.splits.made import write_split
from tests.splits.objects365 import OBJECTS365
from vclr.cli.options import app
from vclr.coco.annotations import encode_mask, rasterize
from vclr.errors import UserError
from vclr.files import read_json, write_json
from vclr.splits.compare import Numbers, compare_split
from vclr.splits.split import make_split

pytestmark = pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED for annotations")
OBJECTS365_CATEGORIES = [{"id": number, "name": name} for number, name in enumerate(OBJECTS365, start=1)]
ANNOTATIONS = PHOTOS / "annotations.json"


@pytest.fixture(params=["nonvoc", "uvo_nonvoc"])
def published(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, Any]]:
    """The name of a split of the photos, with classes or without, and the split; a test publishes it changed."""
    write_split(request.param, ANNOTATIONS, tmp_path / "part.json")
    return request.param, read_json(tmp_path / "part.json")


def compare(folder: Path, name: str, coco: dict[str, Any]) -> list[str]:
    write_json(folder / "published.json", coco)
    return compare_split(make_split(name, ANNOTATIONS), folder / "published.json").differences


def test_what_we_write_is_equal(tmp_path: Path, published: tuple[str, dict[str, Any]]):
    assert compare(tmp_path, *published) == []


def test_order_ids_masks_and_other_fields_may_differ(tmp_path: Path, published: tuple[str, dict[str, Any]]):
    name, coco = published
    numbers = random.Random(1)
    sizes = {image["id"]: (image["height"], image["width"]) for image in coco["images"]}
    for annotation in coco["annotations"]:
        annotation["segmentation"] = encode_mask(rasterize(annotation, *sizes[annotation["image_id"]]))
        annotation["bbox"] = [value + numbers.uniform(-0.009, 0.009) for value in annotation["bbox"]]
        annotation["area"] += numbers.uniform(-0.009, 0.009)
    ids = {image["id"]: number for number, image in enumerate(coco["images"], start=5000)}
    for number, annotation in enumerate(numbers.sample(coco["annotations"], len(coco["annotations"]))):
        annotation |= {"id": number, "image_id": ids[annotation["image_id"]]}
    coco["images"] = [{**image, "id": ids[image["id"]]} for image in reversed(coco["images"])]
    numbers.shuffle(coco["annotations"])
    assert compare(tmp_path, name, {key: coco[key] for key in ("images", "annotations", "categories")}) == []


def remove_image(coco: dict[str, Any]) -> None:
    gone = coco["images"].pop(3)["id"]
    coco["annotations"] = [annotation for annotation in coco["annotations"] if annotation["image_id"] != gone]


def add_image(coco: dict[str, Any]) -> None:
    coco["images"].append({"id": 1, "file_name": "new.jpg", "height": 9, "width": 9})


def move_to_folder(coco: dict[str, Any]) -> None:
    for image in coco["images"]:
        image["file_name"] = f"val2017/{image['file_name']}"


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], list[str]]] = {
    "image gone": (remove_image, [r"images only in the split: 1: \d{12}\.jpg"]),
    "image more": (add_image, [r"images only in the file: 1: new\.jpg"]),
    "image of another size": (
        lambda coco: coco["images"][0].update(width=9999, height=9999),
        [r"sizes of images: 1 differ: \d{12}\.jpg is \d+x\d+, in the file 9999x9999"],
    ),
    "annotation gone": (
        lambda coco: coco["annotations"].pop(5),
        [r"annotations only in the split: 1: \d{12}\.jpg \["],
    ),
    "annotation twice": (
        lambda coco: coco["annotations"].append({**coco["annotations"][0], "id": -1}),
        [r"annotations only in the file: 1: \d{12}\.jpg \["],
    ),
    "box moved": (
        lambda coco: coco["annotations"][0].update(bbox=[1.5, 2, 3, 4]),
        [r"annotations only in the split: 1: ", r"annotations only in the file: 1: .*\[1\.5, 2, 3, 4\], area"],
    ),
    "area changed": (
        lambda coco: coco["annotations"][0].update(area=0.125),
        [r"annotations only in the split: 1: ", r"annotations only in the file: 1: .*area 0\.125"],
    ),
    "crowd no more": (
        lambda coco: next(entry for entry in coco["annotations"] if entry["iscrowd"]).update(iscrowd=0),
        [r"annotations only in the split: 1: \d{12}\.jpg crowd \[", r"annotations only in the file: 1: \d{12}\.jpg \["],
    ),
    "many gone": (
        lambda coco: coco["annotations"].__delitem__(slice(7)),
        [r"annotations only in the split: 7: \d{12}\.jpg .*; .*; .*; \.\.\.$"],
    ),
    "category renamed": (
        lambda coco: coco["categories"][0].update(name="thing"),
        [r"categories only in the split: 1: (object|truck) \(", r"categories only in the file: 1: thing \("],
    ),
    "folders in names": (
        move_to_folder,
        [r"folders in file names: the split has (\d{12}\.jpg), the file val2017/\1$"],
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_differences_are_said(tmp_path: Path, published: tuple[str, dict[str, Any]], change: str):
    name, coco = published
    alter, says = CHANGES[change]
    alter(coco)
    lines = compare(tmp_path, name, coco)
    assert len(lines) == len(says), lines
    for line, pattern in zip(lines, says, strict=True):
        assert re.match(pattern, line), line


def test_another_class_of_the_same_box_is_a_difference(tmp_path: Path):
    write_split("coco", ANNOTATIONS, tmp_path / "part.json")
    coco = read_json(tmp_path / "part.json")
    coco["annotations"][0]["category_id"] = coco["annotations"][0]["category_id"] % 80 + 1
    assert [line.split(":")[:2] for line in compare(tmp_path, "coco", coco)] == [
        ["annotations only in the split", " 1"],
        ["annotations only in the file", " 1"],
    ]


def test_folders_do_not_count_where_the_split_removes_them(tmp_path: Path):
    write_json(tmp_path / "official.json", dict(read_json(ANNOTATIONS), categories=OBJECTS365_CATEGORIES))
    made = make_split("objects365_noncoco", tmp_path / "official.json")
    published = {**made.head, "annotations": list(made.annotations())}
    published["images"] = [{**one, "file_name": f"images/v1/patch8/{one['file_name']}"} for one in published["images"]]
    write_json(tmp_path / "published.json", published)
    found = compare_split(made, tmp_path / "published.json")
    assert found.differences == [] and found.images.split > 0


def test_numbers_and_official_classes_of_what_differs(tmp_path: Path):
    """Annotations that only one of the two has are named by their class in the official file."""
    write_split("uvo_nonvoc", ANNOTATIONS, tmp_path / "part.json")
    coco, official = read_json(tmp_path / "part.json"), read_json(ANNOTATIONS)
    names = {one["id"]: one["name"] for one in official["categories"]}
    classes = {one["id"]: names[one["category_id"]] for one in official["annotations"]}
    images = {one["id"] for one in coco["images"]}
    person = next(
        one for one in official["annotations"] if classes[one["id"]] == "person" and one["image_id"] in images
    )
    gone = coco["annotations"].pop(5)
    invented = {**coco["annotations"][0], "id": -1, "bbox": [1.5, 2, 3, 4]}
    coco["annotations"] += [{**person, "id": -2, "category_id": 1}, invented]
    write_json(tmp_path / "published.json", coco)
    found = compare_split(make_split("uvo_nonvoc", ANNOTATIONS), tmp_path / "published.json")
    count = len(coco["annotations"])
    assert found.images == Numbers(len(images), len(images), 0, 0)
    assert found.annotations == Numbers(count - 1, count, 1, 2)
    assert found.classes_only_split == {classes[gone["id"]]: 1}
    assert found.classes_only_file == {"person": 1, "": 1}


def test_a_comparison_as_a_file_is_no_failure(tmp_path: Path):
    write_split("nonvoc", ANNOTATIONS, tmp_path / "part.json")
    coco = read_json(tmp_path / "part.json")
    for change, is_same in ((lambda coco: None, True), (remove_image, False)):
        change(coco)
        write_json(tmp_path / "published.json", coco)
        words = ["split", "nonvoc", "--annotations", str(ANNOTATIONS), "--compare", str(tmp_path / "published.json")]
        assert CliRunner().invoke(app, words).exit_code == 1 - is_same
        assert CliRunner().invoke(app, [*words, "--comparison", str(tmp_path / "c.json")]).exit_code == 0
        said = read_json(tmp_path / "c.json")
        assert said["same"] is is_same and bool(said["differences"]) is not is_same
        assert said["published"]["sha256"] == hashlib.sha256((tmp_path / "published.json").read_bytes()).hexdigest()
        assert said["official"]["sha256"] == hashlib.sha256(ANNOTATIONS.read_bytes()).hexdigest()
        assert said["images"]["only_split"] == 1 - is_same
    before = (tmp_path / "published.json").read_bytes()
    refused = CliRunner().invoke(app, [*words, "--comparison", str(tmp_path / "published.json")])
    assert "is also given as --compare" in str(refused.exception)
    assert (tmp_path / "published.json").read_bytes() == before
    record = ["--output", str(tmp_path / "x.json"), "--comparison", str(tmp_path / "x.record.json")]
    assert "is also given as the record beside --output" in str(CliRunner().invoke(app, [*words, *record]).exception)
    alone = CliRunner().invoke(app, [*words[:4], "--comparison", str(tmp_path / "c.json"), "--output", "x.json"])
    assert "--comparison: needs --compare FILE" in str(alone.exception)


@pytest.mark.parametrize(
    ("path", "how"),
    [
        ("raw/lvis/lvis_v1_val.json", "get it with `vclr fetch lvis --output {root}`"),
        (
            "raw/owis/openworld_objects365_noncoco_val.json",
            "get it with `vclr fetch owis/openworld_objects365_noncoco_",
        ),
        ("raw/uvo/uvo_nonvoc_val_rle.json", "get it with `vclr fetch uvo --output {root}`"),
        ("raw/uvo/uvo_val_dense.json", "put it in place by hand (docs/data.md)"),
        ("raw/objects365/zhiyuan_objv2_val.json", "put it in place by hand (docs/data.md)"),
    ],
)
def test_a_missing_file_is_named_with_what_gets_it(tmp_path: Path, path: str, how: str):
    words = ["split", "one_class", "--annotations", str(tmp_path / path), "--output", str(tmp_path / "split.json")]
    error = str(CliRunner().invoke(app, words).exception)
    assert error.startswith(f"{tmp_path / path}: does not exist; {how.format(root=tmp_path)}")
    words[3:3] = [str(ANNOTATIONS), "--compare"]
    assert how.format(root=tmp_path) in str(CliRunner().invoke(app, words).exception)
    elsewhere = str(CliRunner().invoke(app, [*words[:3], "raw.json", *words[-2:]]).exception)
    assert "vclr fetch" not in elsewhere and "raw.json" in elsewhere


def test_empty_and_unsound_files(tmp_path: Path):
    lines = compare(tmp_path, "uvo_nonvoc", {"images": [], "annotations": []})
    assert [line.split(":")[:2] for line in lines] == [["images only in the split", " 79"]]
    with pytest.raises(UserError, match=r"published\.json: annotations\[0\]: has no `id`"):
        compare(tmp_path, "voc", {"images": [], "annotations": [{}]})
