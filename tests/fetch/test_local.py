"""Files that are there: photos of another source, sources put in place by hand, counts of large json files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.fetch.conftest import Fetcher
from tests.fetch.packing import zipped
from tests.fetch.server import FileServer
from vclr.coco.annotations import open_images
from vclr.coco.official import check_counts, open_official
from vclr.errors import UserError
from vclr.files import read_json
from vclr.image_folders.open import fingerprint

NAMES = ("train2017/1.jpg", "train2017/2.jpg", "val2017/3.jpg")


def write_shared(fetcher: Fetcher, server: FileServer, names: tuple[str, ...] = NAMES) -> None:
    """Write a catalog of photos in two archives and of annotations that share some of them."""
    photos = {name: name.encode() for name in (*NAMES, "train2017/unused.jpg")}
    files = []
    for folder in ("train2017", "val2017"):
        content = zipped({name: photo for name, photo in photos.items() if name.startswith(folder)})
        files.append(
            {
                "path": f"raw/photos/{folder}.zip",
                "urls": [server.put(f"/{folder}.zip", content)],
                "bytes": len(content),
                "unpack": "raw/photos",
                "yields": {f"raw/photos/{folder}": 3 if folder == "train2017" else 1},
            }
        )
    world = {"images": [{"id": n, "coco_url": f"http://images/{name}"} for n, name in enumerate(names)]}
    url = server.put("/val.json", json.dumps({**world, "annotations": []}).encode())
    fetcher.write(
        photos={"files": files},
        shared={
            "files": [{"path": "raw/shared/val.json", "urls": [url]}],
            "requires": ["photos/train2017", "photos/val2017"],
        },
    )


@pytest.mark.parametrize("packed", [[], ["--packed"]], ids=["unpacked", "packed"])
def test_photos_that_another_source_has_come_with_the_annotations(
    fetcher: Fetcher, server: FileServer, packed: list[str]
):
    write_shared(fetcher, server)
    fetcher.run("shared", *packed)
    assert (fetcher.output / "raw/photos/train2017").exists() != bool(packed)
    photos = open_images(
        [fetcher.output / "raw/photos/val2017", fetcher.output / "raw/photos/train2017"],
        open_official(fetcher.output / "raw/shared/val.json").images,
        "val.json",
    )
    assert [photos.read(name.split("/")[1]) for name in NAMES] == [name.encode() for name in NAMES]
    asked = len(server.log)
    assert "shared: complete" in fetcher.run("shared", VCLR_OFFLINE="1").stdout
    assert len(server.log) == asked


def test_photos_that_an_earlier_version_linked_stay(fetcher: Fetcher, server: FileServer):
    write_shared(fetcher, server)
    fetcher.run("shared")
    images = fetcher.output / "raw/shared/images"
    images.mkdir()
    (images / "1.jpg").hardlink_to(fetcher.output / "raw/photos/train2017/1.jpg")
    manifest = read_json(fetcher.output / "raw/shared/manifest.json")
    entry = {"bytes": 15, "sha256": None}
    manifest["folders"]["raw/shared/images"] = {"num_files": 1, "bytes": 15, "files": {"1.jpg": entry}}
    (fetcher.output / "raw/shared/manifest.json").write_text(json.dumps(manifest))
    before = fingerprint(images)
    fetcher.run("shared", "--verify")
    assert (images / "1.jpg").exists()
    assert fingerprint(images) == before is not None


def test_what_trainings_hash_is_the_same_packed_or_not(fetcher: Fetcher, server: FileServer):
    write_shared(fetcher, server)
    hashes = []
    for options in ([], ["--packed"], ["--mirror", server.address]):
        shutil.rmtree(fetcher.output, ignore_errors=True)
        fetcher.run("photos", *options)
        hashes.append([fingerprint(fetcher.output / "raw/photos" / name) for name in ("train2017", "val2017")])
    assert hashes[0] == hashes[1] == hashes[2]
    assert None not in hashes[0] and hashes[0][0] != hashes[0][1]


# --- by hand ---------------------------------------------------------------------------------------------------------

TEXT = "Register at their page, then put the frames into raw/mine/frames.\n"


def write_manual(fetcher: Fetcher, images: list[str] | None = None, number: int = 2, **more: Any) -> None:
    manual = {
        "text": TEXT,
        "folders": {"raw/mine/frames": number},
        "annotations": {"raw/mine/val.json": "raw/mine/frames"},
        **more,
    }
    fetcher.write(mine={"manual": manual, "counts": {"raw/mine/val.json": {"images": 2}}})
    if images is not None:
        folder = fetcher.output / "raw/mine/frames"
        (folder / "video").mkdir(parents=True, exist_ok=True)
        for name in ("video/0.png", "video/1.png"):
            (folder / name).write_text(name)
        world = {"images": [{"id": n, "file_name": name} for n, name in enumerate(images)], "annotations": []}
        (fetcher.output / "raw/mine/val.json").write_text(json.dumps(world))


def test_what_a_person_must_do_is_said(fetcher: Fetcher):
    write_manual(fetcher)
    done = fetcher.try_to("mine")
    assert done.returncode == 1 and TEXT in done.stdout
    assert "raw/mine/frames, " in done.stderr and "raw/mine/val.json" in done.stderr
    assert "put it there by hand" in fetcher.run("mine", "--dry-run").stdout
    assert not fetcher.files()


def test_what_a_person_did_is_verified_and_recorded(fetcher: Fetcher):
    write_manual(fetcher, ["video/0.png", "video/1.png"])
    assert "to be verified" in fetcher.run("mine", "--dry-run").stdout
    fetcher.run("mine", VCLR_OFFLINE="1")
    manifest = read_json(fetcher.output / "raw/mine/manifest.json")
    assert manifest["folders"]["raw/mine/frames"]["num_files"] == 2
    assert set(manifest["files"]) == {"raw/mine/val.json"}
    assert fetcher.run("mine").stdout == "mine: complete\n"
    (fetcher.output / "raw/mine/frames/video/0.png").write_text("video/2.png")
    assert fetcher.run("mine").stdout == "mine: complete\n"
    for _ in range(2):
        assert "mine: damaged: raw/mine/frames; put them in place again" in fetcher.refused("mine", "--verify")


def test_images_may_lie_flat(fetcher: Fetcher):
    """Where a source says so; else a split with the folders in its names would not find them."""
    names = ["images/v1/0.png", "video/1.png"]
    write_manual(fetcher, names)
    (fetcher.output / "raw/mine/frames/video/0.png").rename(fetcher.output / "raw/mine/frames/0.png")
    assert "images[0]: 'images/v1/0.png' is not in" in fetcher.refused("mine")
    write_manual(fetcher, is_flat=True)
    fetcher.run("mine")


@pytest.mark.parametrize("place", ["0.png", "patch8/0.png", "images/v1/patch8/0.png"])
def test_images_may_lie_in_the_folders_of_objects365_s_archives(fetcher: Fetcher, place: str):
    write_manual(fetcher, ["images/v1/patch8/0.png", "video/1.png"], is_flat=True)
    photo = fetcher.output / "raw/mine/frames" / place
    photo.parent.mkdir(parents=True, exist_ok=True)
    (fetcher.output / "raw/mine/frames/video/0.png").rename(photo)
    fetcher.run("mine")
    assert place in read_json(fetcher.output / "raw/mine/manifest.json")["folders"]["raw/mine/frames"]["files"]


def test_an_image_in_another_patch_is_not_there(fetcher: Fetcher):
    write_manual(fetcher, ["patch8/0.png", "video/1.png"])
    (fetcher.output / "raw/mine/frames/patch9").mkdir()
    (fetcher.output / "raw/mine/frames/video/0.png").rename(fetcher.output / "raw/mine/frames/patch9/0.png")
    assert "images[0]: 'patch8/0.png' is not in" in fetcher.refused("mine")


def test_archives_that_were_left_packed(fetcher: Fetcher):
    write_manual(fetcher, ["video/0.png", "video/1.png"])
    for name in ("patch0.tar.gz", "patch1.tar.gz"):
        (fetcher.output / "raw/mine/frames" / name).write_bytes(b"")
    assert "frames: holds archives, patch0.tar.gz and 1 more; unpack and remove them there" in fetcher.refused("mine")


def test_one_of_several_annotations_may_be_enough(fetcher: Fetcher):
    both = dict.fromkeys(["raw/mine/val.json", "raw/mine/other.json"], "raw/mine/frames")
    write_manual(fetcher, annotations=both, one_is_enough=True)
    line = fetcher.refused("mine")
    assert f"{fetcher.output}/raw/mine/other.json or {fetcher.output}/raw/mine/val.json" in line
    write_manual(fetcher, ["video/0.png", "video/1.png"], annotations=both, one_is_enough=True)
    fetcher.run("mine")
    assert set(read_json(fetcher.output / "raw/mine/manifest.json")["files"]) == {"raw/mine/val.json"}
    assert fetcher.run("mine").stdout == "mine: complete\n"
    (fetcher.output / "raw/mine/other.json").write_text("{}")
    assert "other.json" in fetcher.refused("mine")


@pytest.mark.parametrize(
    ("images", "number", "says"),
    [
        (["video/0.png", "video/1.png"], 3, "frames: holds 2 files, expected 3"),
        (["video/0.png", "video/7.png"], 2, "val.json: images[1]: 'video/7.png' is not in "),
        (["video/0.png"], 2, "val.json: holds 1 images, expected 2"),
    ],
)
def test_what_a_person_did_wrong(fetcher: Fetcher, images: list[str], number: int, says: str):
    write_manual(fetcher, images, number)
    assert says in fetcher.refused("mine")


def test_json_of_a_person_that_is_none(fetcher: Fetcher):
    write_manual(fetcher, ["video/0.png"])
    for content, says in (("{", "not valid json"), ("[]", "is not a COCO json")):
        (fetcher.output / "raw/mine/val.json").write_text(content)
        assert says in fetcher.refused("mine")


# --- counts ----------------------------------------------------------------------------------------------------------


def test_counts_are_those_of_the_lists(tmp_path: Path):
    path = tmp_path / "world.json"
    path.write_text('{"images": [{"id": 1}, {"id": 2}], "annotations": [{}], "categories": [{"id": 1, "name": "a"}]}')
    assert len(check_counts(path, {"images": 2, "annotations": 1, "categories": 1}).images) == 2
    for wrong, says in (({"images": 3}, "holds 2 images, expected 3"), ({"videos": 1}, "holds 0 videos, expected 1")):
        with pytest.raises(UserError, match=f"world.json: {says}"):
            check_counts(path, wrong)
