"""Files as LVIS, UVO and Objects365 publish them: their fields, their names and their novel classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.shared import EVALUATOR_FILES
from tests.splits.made import write_split
from tests.splits.objects365 import OBJECTS365
from vclr.catalog.classes import COCO_CLASSES, COCO_SYNSETS
from vclr.coco.annotations import encode_mask, load_coco
from vclr.coco.official import open_official
from vclr.coco.repair import repair
from vclr.errors import UserError
from vclr.files import read_json, write_json

LVIS_SAMPLE = EVALUATOR_FILES / "lvis_v05_val_100" / "lvis_val_100.json"
OBJECT = [{"id": 1, "name": "object"}]


def split_of(folder: Path, name: str, coco: dict[str, Any]) -> dict[str, Any]:
    write_json(folder / "all.json", coco)
    write_split(name, folder / "all.json", folder / "part.json")
    return load_coco(folder / "part.json")


# --- LVIS ------------------------------------------------------------------------------------------------------------


def lvis_v1() -> dict[str, Any]:
    """Three images, two with objects outside of COCO; as in v1, without file names and crowds."""
    classes = [name for name in COCO_CLASSES if name != "hot dog"]
    synsets = ["acorn.n.01", *(COCO_SYNSETS[name] for name in classes), "yak.n.02"]
    categories = [
        {"id": number, "synset": synset, "name": synset.split(".")[0], "frequency": "r"}
        for number, synset in enumerate(synsets, start=1)
    ]
    places = {397133: "val2017", 522418: "train2017", 9: "train2017"}
    images = [
        {
            "id": number,
            "coco_url": f"http://images.cocodataset.org/{place}/{number:012d}.jpg",
            "height": 40,
            "width": 60,
            "neg_category_ids": [3],
            "not_exhaustive_category_ids": [],
        }
        for number, place in places.items()
    ]
    outline = [[1, 1, 20, 1, 20, 20]]
    annotations = [
        {"id": 1, "image_id": 397133, "category_id": 1, "bbox": [1, 1, 19, 19], "area": 180.5, "segmentation": outline},
        {"id": 2, "image_id": 397133, "category_id": 2, "bbox": [1, 1, 19, 19], "area": 180.5, "segmentation": outline},
        {
            "id": 3,
            "image_id": 522418,
            "category_id": 81,
            "bbox": [1, 1, 19, 19],
            "area": 180.5,
            "segmentation": outline,
        },
        {"id": 4, "image_id": 9, "category_id": 5, "bbox": [1, 1, 19, 19], "area": 180.5, "segmentation": outline},
    ]
    return {"info": {"version": "v1"}, "images": images, "annotations": annotations, "categories": categories}


def test_lvis_v1(tmp_path: Path):
    coco = lvis_v1()
    made = split_of(tmp_path, "lvis_noncoco", coco)
    assert made["categories"] == OBJECT
    assert [annotation["id"] for annotation in made["annotations"]] == [1, 3]
    assert all(annotation["iscrowd"] == 0 for annotation in made["annotations"])
    assert [image["file_name"] for image in made["images"]] == ["000000397133.jpg", "000000522418.jpg"]
    kept = {key: value for key, value in made["images"][0].items() if key != "file_name"}
    assert kept == coco["images"][0]
    record = read_json(tmp_path / "part.record.json")
    assert record["kept"] == ["acorn", "yak"]
    assert len(record["left_out"]) == 79


@pytest.mark.skipif(not LVIS_SAMPLE.is_file(), reason="needs VCLR_SHARED for annotations of LVIS")
def test_lvis_v05(tmp_path: Path):
    coco = read_json(LVIS_SAMPLE)
    made = split_of(tmp_path, "lvis_noncoco", coco)
    assert (len(made["images"]), len(made["annotations"])) == (75, 542)
    assert {image["file_name"][:13] for image in made["images"]} == {"COCO_val2014_"}
    synsets = {category["id"]: category["synset"] for category in coco["categories"]}
    novel = [entry["id"] for entry in coco["annotations"] if synsets[entry["category_id"]] not in COCO_SYNSETS.values()]
    assert [annotation["id"] for annotation in made["annotations"]] == novel
    record = read_json(tmp_path / "part.record.json")
    assert (len(record["kept"]), len(record["left_out"])) == (1230 - 78, 78)


# --- UVO -------------------------------------------------------------------------------------------------------------


def uvo() -> dict[str, Any]:
    """Two videos of three frames: a person, a zebra that comes and goes, and something else in the last frame."""
    names = [*COCO_CLASSES, "other"]
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    videos = [
        {
            "id": number,
            "ytid": name,
            "file_names": [f"{name}/{frame}.png" for frame in range(3)],
            "height": 8,
            "width": 10,
            "length": 3,
        }
        for number, name in ((1, "a-b"), (12, "c_d"))
    ]
    mask = encode_mask([[row > 1 and column > 4 for column in range(10)] for row in range(8)])  # type: ignore[arg-type]
    box = [5.0, 2.0, 5.0, 6.0]

    def track(number: int, video: int, name: str, seen: tuple[bool, ...]) -> dict[str, Any]:
        return {
            "id": number,
            "video_id": video,
            "category_id": names.index(name) + 1,
            "iscrowd": 0,
            "segmentations": [mask if there else None for there in seen],
            "bboxes": [box if there else None for there in seen],
            "areas": [30 if there else None for there in seen],
            "source": "human",
        }

    tracks = [
        track(7, 1, "person", (True, True, True)),
        track(8, 1, "zebra", (True, False, True)),
        track(3, 12, "other", (False, False, True)),
    ]
    return {"info": {}, "videos": videos, "annotations": tracks, "categories": categories}


def test_videos_of_uvo_are_frames(tmp_path: Path):
    made = split_of(tmp_path, "uvo_nonvoc", uvo())
    assert made["categories"] == OBJECT
    frames = {image["id"]: image["file_name"] for image in made["images"]}
    assert list(frames.values()) == ["a-b/0.png", "a-b/2.png", "c_d/2.png"]
    found = [(annotation["track_id"], frames[annotation["image_id"]]) for annotation in made["annotations"]]
    assert found == [(8, "a-b/0.png"), (8, "a-b/2.png"), (3, "c_d/2.png")]
    first = made["annotations"][0]
    assert (first["bbox"], first["area"], first["iscrowd"], first["source"]) == ([5, 2, 5, 6], 30, 0, "human")
    assert not {"segmentations", "bboxes", "areas", "video_id"} & first.keys()
    assert len({annotation["id"] for annotation in made["annotations"]}) == 3


def test_everything_of_a_video(tmp_path: Path):
    made = split_of(tmp_path, "one_class", uvo())
    assert (len(made["images"]), len(made["annotations"])) == (4, 6)


def test_a_box_that_a_video_lacks_is_that_of_the_mask(tmp_path: Path):
    coco = uvo()
    coco["annotations"][1]["bboxes"][0] = None
    made = split_of(tmp_path, "uvo_nonvoc", coco)
    assert [annotation["bbox"] for annotation in made["annotations"]] == [[5, 2, 5, 6]] * 3


def test_unusable_frames_of_a_video_are_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    coco = uvo()
    coco["annotations"][1]["bboxes"][2] = [1, 2, -3, 4]
    made = split_of(tmp_path, "uvo_nonvoc", coco)
    assert [annotation["track_id"] for annotation in made["annotations"]] == [8, 3]
    (line,) = caplog.messages
    assert "1 of 6 annotations dropped (1 empty box); first: annotations[4] (id 5): box is -3x4 px" in line
    assert "vclr repair" not in line
    with pytest.raises(UserError, match="holds videos, which cannot be repaired"):
        repair(tmp_path / "all.json")


def test_a_mask_of_a_video_is_checked_before_its_box_is_taken(tmp_path: Path):
    coco = uvo()
    coco["annotations"][1]["bboxes"][0] = None
    coco["annotations"][1]["segmentations"][0] = [[]]
    with pytest.raises(UserError, match=r"annotations\[1\]: segmentations\[0\]: polygon 0 has 0 points"):
        split_of(tmp_path, "uvo_nonvoc", coco)


def test_uvo_that_is_coco_already(tmp_path: Path):
    flat = tmp_path / "flat"
    flat.mkdir()
    coco = split_of(
        flat, "coco", uvo() | {"categories": uvo()["categories"][:80], "annotations": uvo()["annotations"][:2]}
    )
    made = split_of(tmp_path, "uvo_nonvoc", coco)
    assert len(made["annotations"]) == 2


BAD_VIDEOS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "video without names": (
        lambda coco: coco["videos"][1].pop("file_names"),
        r"all\.json: videos\[1\]: needs `id`, `file_names`, `height` and `width`",
    ),
    "video twice": (lambda coco: coco["videos"][1].update(id=1), r"all\.json: videos\[1\]: id 1 occurs twice"),
    "track without a video": (
        lambda coco: coco["annotations"][2].update(video_id=5),
        r"all\.json: annotations\[2\]: video 5 is not in `videos`",
    ),
    "track too short": (
        lambda coco: coco["annotations"][1]["bboxes"].pop(),
        r"all\.json: annotations\[1\]: .* must have one entry for each of 3 frames",
    ),
    "box that is none": (
        lambda coco: coco["annotations"][1]["bboxes"].__setitem__(2, [1, 2, 3]),
        r"all\.json as frames: annotations\[4\] \(id 5\): bbox \[1, 2, 3\] is not",
    ),
}


@pytest.mark.parametrize("case", BAD_VIDEOS)
def test_a_wrong_video_is_named(tmp_path: Path, case: str):
    change, says = BAD_VIDEOS[case]
    coco = uvo()
    change(coco)
    with pytest.raises(UserError, match=says):
        split_of(tmp_path, "uvo_nonvoc", coco)


# --- Objects365 ------------------------------------------------------------------------------------------------------


def objects365() -> dict[str, Any]:
    """A person, a sports car and a lamp in one image, a camel in another: boxes only, folders in the names."""
    categories = [{"id": number, "name": name} for number, name in enumerate(OBJECTS365, start=1)]
    images = [
        {"id": number, "file_name": name, "height": 512, "width": 769, "license": 5, "url": ""}
        for number, name in (
            (420917, "images/v1/patch8/objects365_v1_00420917.jpg"),
            (1007, "images/v2/patch20/objects365_v2_01007.jpg"),
            (12, "images/v1/patch8/objects365_v1_00000012.jpg"),
        )
    ]
    kinds = [(420917, "Person"), (420917, "Sports Car"), (420917, "Lamp"), (1007, "Campel"), (12, "Moniter/TV")]
    annotations = [
        {
            "id": number,
            "image_id": image,
            "category_id": OBJECTS365.index(name) + 1,
            "bbox": [491.3955078011, 88.1856689664, 35.65588379410002, 44.442382796800004],
            "area": 1584.6324365356109,
            "iscrowd": 0,
            "isfake": 0,
            "isreflected": 0,
        }
        for number, (image, name) in enumerate(kinds, start=51)
    ]
    return {"images": images, "annotations": annotations, "categories": categories, "licenses": []}


def test_objects365(tmp_path: Path):
    coco = objects365()
    made = split_of(tmp_path, "objects365_noncoco", coco)
    assert made["categories"] == OBJECT
    assert [annotation["id"] for annotation in made["annotations"]] == [53, 54]
    assert made["annotations"][0] == {**coco["annotations"][2], "category_id": 1}
    names = [image["file_name"] for image in made["images"]]
    assert names == ["objects365_v1_00420917.jpg", "objects365_v2_01007.jpg"]


def test_file_names_that_only_folders_tell_apart(tmp_path: Path):
    coco = objects365()
    coco["images"][1]["file_name"] = "images/v2/objects365_v1_00420917.jpg"
    with pytest.raises(UserError, match=r"images\[1\]: file name objects365_v1_00420917\.jpg occurs twice"):
        split_of(tmp_path, "objects365_noncoco", coco)
    write_json(tmp_path / "all.json", coco)
    assert open_official(tmp_path / "all.json").images == coco["images"]


@pytest.mark.parametrize("coco", [{}, {"videos": 5, "annotations": []}, {"images": {}, "annotations": []}, []])
def test_other_json_is_refused(tmp_path: Path, coco: Any):
    write_json(tmp_path / "other.json", coco)
    with pytest.raises(UserError, match=r"other\.json: is not a COCO json"):
        open_official(tmp_path / "other.json")
