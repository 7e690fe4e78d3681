"""Leaks: an image of the evaluation set is found in the training set, whatever it is called there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ImageOps

from tests.shared import PHOTOS
from tests.splits.made import write_split
from vclr.errors import UserError
from vclr.files import read_json, write_json
from vclr.pictures import open_image, write_png
from vclr.splits.leaks import audit_leaks, read_photo_set, summarize_leaks

needs_photos = pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED for photos")


def write_json_of(path: Path, images: list[dict[str, Any]]) -> Path:
    entries = [{"id": number, "height": 9, "width": 9, **image} for number, image in enumerate(images)]
    write_json(path, {"images": entries, "annotations": []})
    return path


def audit(folder: Path, training: list[dict[str, Any]], evaluation: list[dict[str, Any]]) -> dict[str, Any]:
    paths = write_json_of(folder / "train.json", training), write_json_of(folder / "val.json", evaluation)
    return audit_leaks(*map(read_photo_set, paths), quiet=True)


def pairs_of(found: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    return [(pair["evaluation"], pair["training"], pair["why"]) for pair in found["first_pairs"]]


# --- by what the json says -------------------------------------------------------------------------------------------


def test_images_of_coco_are_found_by_name_and_number(tmp_path: Path):
    url = "http://images.cocodataset.org/train2017/{}"
    training = [
        {"file_name": "000000000009.jpg"},
        {"file_name": "train2017/000000000025.jpg"},
        {"file_name": "photo.jpg", "coco_url": url.format("000000000030.jpg")},
        {"file_name": "000000000034.jpg"},
    ]
    evaluation = [
        {"file_name": "000000000025.jpg"},
        {"file_name": "COCO_val2014_000000000009.jpg", "coco_url": url.format("000000000009.jpg")},
        {"coco_url": url.format("000000000030.jpg")},  # LVIS v1
        {"file_name": "000000000099.jpg"},
    ]
    found = audit(tmp_path, training, evaluation)
    assert pairs_of(found) == [
        ("000000000025.jpg", "train2017/000000000025.jpg", ["name", "coco"]),
        ("COCO_val2014_000000000009.jpg", "000000000009.jpg", ["coco"]),
        ("000000000030.jpg", "photo.jpg", ["coco"]),
    ]
    assert (found["leaked_images"], found["pairs"]) == (3, 3)
    assert found["pairs_by"] == {"name": 1, "coco": 3, "bytes": 0, "near": 0, "mirrored": 0}
    assert found["compared"] == ["names"]
    assert {pair["distance"] for pair in found["first_pairs"]} == {None}
    assert summarize_leaks(found) == "3 of 4 images of val.json are in train.json (1 name, 3 coco)"


def test_frames_that_share_a_name_are_told_apart_by_their_folders(tmp_path: Path):
    frames = [{"file_name": f"{video}/0.png"} for video in ("a", "b")]
    assert pairs_of(audit(tmp_path, frames, [{"file_name": "c/0.png"}, {"file_name": "d/0.png"}])) == []
    found = audit(tmp_path, frames, [{"file_name": "b/0.png"}, {"file_name": "d/0.png"}])
    assert pairs_of(found) == [("b/0.png", "b/0.png", ["name"])]


def test_ids_of_other_sets_mean_nothing(tmp_path: Path):
    found = audit(tmp_path, [{"id": 5, "file_name": "a.jpg"}], [{"id": 5, "file_name": "b.jpg"}])
    assert found["pairs"] == 0
    assert summarize_leaks(found) == "0 of 1 images of val.json are in train.json (compared: names)"


def test_many_pairs_are_counted_and_a_thousand_listed(tmp_path: Path):
    images = [{"file_name": f"{number}.jpg"} for number in range(1200)]
    found = audit(tmp_path, images, images)
    assert (found["pairs"], found["leaked_images"], len(found["first_pairs"])) == (1200, 1200, 1000)


# --- by what the files hold ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos to train on; to evaluate on, two others and copies of four of them under other names."""
    root = tmp_path_factory.mktemp("leaks")
    names = [image["file_name"] for image in read_json(PHOTOS / "annotations_train.json")["images"]]
    (root / "train").mkdir()
    (root / "val").mkdir()
    for name in names[:20]:
        shutil.copy(PHOTOS / "images" / name, root / "train" / name)
    shutil.copy(PHOTOS / "images" / names[0], root / "val" / "same.jpg")
    first, second = (open_image(PHOTOS / "images" / name) for name in names[1:3])
    first.resize((first.width // 2, first.height // 2)).save(root / "val" / "small.jpg", quality=50)
    ImageOps.mirror(second).save(root / "val" / "mirrored.png")
    shutil.copy(PHOTOS / "images" / names[21], root / "val" / names[3])  # a name in common and nothing else
    shutil.copy(PHOTOS / "images" / names[22], root / "val" / "other.jpg")
    for part in ("train", "val"):
        write_json_of(root / f"{part}.json", [{"file_name": path.name} for path in sorted((root / part).iterdir())])
    return root


def names_of(root: Path) -> list[str]:
    return [image["file_name"] for image in read_json(PHOTOS / "annotations_train.json")["images"]]


@needs_photos
@pytest.mark.parametrize("min_blocks", [1, 8])
def test_copies_are_found(folders: Path, monkeypatch: pytest.MonkeyPatch, min_blocks: int):
    """Alike by this process and by a pool of others."""
    monkeypatch.setattr("vclr.worker_pool.MIN_BLOCKS", min_blocks)
    sets = [read_photo_set(folders / f"{part}.json", folders / part) for part in ("train", "val")]
    found = audit_leaks(*sets, quiet=True)
    names = names_of(folders)
    expected = {
        "same.jpg": (names[0], ["bytes", "near"]),
        "small.jpg": (names[1], ["near"]),
        "mirrored.png": (names[2], ["mirrored"]),
        names[3]: (names[3], ["name", "coco"]),
    }
    assert {mine: (theirs, why) for mine, theirs, why in pairs_of(found)} == expected
    distances = {pair["evaluation"]: pair["distance"] for pair in found["first_pairs"]}
    assert distances["same.jpg"] == 0
    assert distances[names[3]] > found["max_distance"], "two images that are only called the same"
    assert found["pairs_by"] == {"name": 1, "coco": 1, "bytes": 1, "near": 2, "mirrored": 1}
    assert found["leaked_images"] == 4
    assert found["compared"] == ["names", "bytes", "pictures"]


@needs_photos
def test_two_halves_of_the_photos_share_none():
    sets = [read_photo_set(PHOTOS / f"annotations_{part}.json", PHOTOS / "images") for part in ("train", "val")]
    assert audit_leaks(*sets, quiet=True)["pairs"] == 0


@needs_photos
def test_leaks_stand_in_the_record_of_a_split(tmp_path: Path):
    """Of the images that the split keeps."""
    train = PHOTOS / "annotations_train.json"
    images = {"images": PHOTOS / "images", "train_images": PHOTOS / "images"}
    write_split("nonvoc", PHOTOS / "annotations.json", tmp_path / "part.json", train=train, quiet=True, **images)
    found = read_json(tmp_path / "part.record.json")["leaks"]
    kept = {image["file_name"] for image in read_json(tmp_path / "part.json")["images"]}
    trained = {image["file_name"] for image in read_json(train)["images"]}
    assert {pair["evaluation"] for pair in found["first_pairs"]} == kept & trained
    assert found["leaked_images"] == found["pairs_by"]["bytes"] == found["pairs_by"]["near"] == len(kept & trained)
    assert found["training"] == {"file": "annotations_train.json", "images": 50}


def test_blank_pictures_are_no_copies_of_each_other(tmp_path: Path):
    for part, level in (("train", 90), ("val", 91)):
        write_png(tmp_path / part / "a.png", np.full((40, 60, 3), level, np.uint8))
        write_json_of(tmp_path / f"{part}.json", [{"file_name": "a.png"}])
    sets = [read_photo_set(tmp_path / f"{part}.json", tmp_path / part) for part in ("train", "val")]
    (pair,) = audit_leaks(*sets, quiet=True)["first_pairs"]
    assert (pair["why"], pair["distance"]) == (["name"], None)


@pytest.mark.parametrize("min_blocks", [1, 8])
def test_a_damaged_image_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, min_blocks: int):
    monkeypatch.setattr("vclr.worker_pool.MIN_BLOCKS", min_blocks)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_text("not an image")
    photos = read_photo_set(write_json_of(tmp_path / "a.json", [{"file_name": "a.png"}]), tmp_path / "images")
    with pytest.raises(UserError, match=r"a\.png: is not an image"):
        audit_leaks(photos, photos, quiet=True)
    with pytest.raises(UserError, match=r"b\.json: image 0: file .*b\.png does not exist"):
        read_photo_set(write_json_of(tmp_path / "b.json", [{"file_name": "b.png"}]), tmp_path / "images")
