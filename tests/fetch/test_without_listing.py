"""What the hub has, when the hub cannot be asked: files known by name, a mirror, and what a person put in place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fetch.conftest import Fetcher
from tests.fetch.packing import zipped
from tests.fetch.server import FileServer
from tests.fetch.test_hub import entry
from vclr.fetch.sources import read_catalog
from vclr.files import read_json
from vclr.pictures import write_png

REPOSITORY = "somebody/collection"
HUB = {
    "repository": REPOSITORY,
    "kind": "dataset",
    "places": {"": "raw/mine", "depth_train/": "views/photos/depth"},
    "names": ["split.json"],
    "photos": {"views/photos/depth": "raw/photos/train"},
}
NO_HUB = {"HF_ENDPOINT": "http://127.0.0.1:9"}
VIEW = "views/photos/depth"


def write_picture(path: Path, size: tuple[int, int] = (4, 5)) -> None:
    write_png(path, np.zeros((*size, 3), np.uint8))


def write_photos(output: Path, names: str = "abc") -> None:
    for name in names:
        write_picture(output / "raw/photos/train" / f"{name}.png")


def write_view(output: Path, names: str = "abc") -> None:
    for name in names:
        write_picture(output / VIEW / f"{name}.png")


@pytest.fixture
def mine(fetcher: Fetcher) -> Fetcher:
    fetcher.write(mine={"hub": HUB})
    return fetcher


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_a_view_by_hand_gets_its_manifest(mine: Fetcher):
    write_photos(mine.output)
    write_view(mine.output)
    assert f"{VIEW}" in mine.run("mine/depth_train", "--dry-run", **NO_HUB).stdout
    assert not (mine.output / VIEW / "manifest.json").exists()
    assert "put there by hand: 3 files, compared" in mine.run("mine/depth_train", **NO_HUB).stdout
    manifest = read_json(mine.output / VIEW / "manifest.json")
    assert set(manifest["files"]) == {"a.png", "b.png", "c.png"}
    assert all(len(one["sha256"]) == 64 for one in manifest["files"].values())
    (mine.output / VIEW / "manifest.json").unlink()  # as Snakemake does
    mine.run("mine/depth_train", VCLR_OFFLINE="1")
    assert read_json(mine.output / VIEW / "manifest.json") == manifest


def test_a_view_by_hand_is_verified_again(mine: Fetcher):
    write_photos(mine.output)
    write_view(mine.output)
    mine.run("mine/depth_train", **NO_HUB)
    (mine.output / VIEW / "b.png").write_bytes(bytes((mine.output / VIEW / "b.png").stat().st_size))
    line = mine.refused("mine/depth_train", "--verify", **NO_HUB)
    assert line == f"vclr: mine: damaged: {VIEW}; put them in place again"


@pytest.mark.parametrize(
    ("photos", "view", "says"),
    [
        ("abc", "ab", "depth: has no file for 1 of 3 photos, for example c.png"),
        ("", "abc", "train does not exist; fetch them first"),
        ("abc", "", "depth: is missing or empty"),
    ],
)
def test_a_view_by_hand_that_is_not_whole(mine: Fetcher, photos: str, view: str, says: str):
    write_photos(mine.output, photos)
    write_view(mine.output, view)
    line = mine.refused("mine/depth_train", **NO_HUB)
    assert "the hub does not list its files" in line and says in line
    assert not (mine.output / VIEW / "manifest.json").exists()


@pytest.mark.parametrize("content", ["other size", "no image"])
def test_a_view_by_hand_of_something_else(mine: Fetcher, content: str):
    write_photos(mine.output)
    write_view(mine.output)
    write_picture(mine.output / VIEW / "b.png", (5, 4))
    if content == "no image":
        (mine.output / VIEW / "b.png").write_text("no image")
    line = mine.refused("mine/depth_train", **NO_HUB)
    assert f"{VIEW}/b.png: is " in line
    assert ("not an image" in line) == (content == "no image")
    assert not (mine.output / VIEW / "manifest.json").exists()


def test_a_view_by_hand_whose_own_manifest_is_of_other_files(mine: Fetcher):
    write_photos(mine.output)
    write_view(mine.output)
    mine.run("mine/depth_train", **NO_HUB)
    (mine.output / "raw/mine/manifest.json").unlink()  # the view came from elsewhere, with its manifest
    mine.run("mine/depth_train", **NO_HUB)
    (mine.output / "raw/mine/manifest.json").unlink()
    write_png(mine.output / VIEW / "b.png", np.ones((4, 5, 3), np.uint8))
    assert "manifest.json: does not agree with b.png" in mine.refused("mine/depth_train", **NO_HUB)


def publish_view(server: FileServer, names: str, picture: bytes) -> None:
    files = {f"depth_train/{name}.png": picture for name in names}
    publish_files(server, files)


def publish_files(server: FileServer, files: dict[str, bytes]) -> None:
    api = f"/api/datasets/{REPOSITORY}"
    server.put(f"{api}/revision/main", json.dumps({"id": REPOSITORY, "sha": "a" * 40}).encode())
    listed = json.dumps([entry(path, content) for path, content in files.items()]).encode()
    server.put(f"{api}/tree/{'a' * 40}?recursive=true&expand=false", listed)
    for path, content in files.items():
        server.put(f"/datasets/{REPOSITORY}/resolve/{'a' * 40}/{path}", content)


def test_a_view_that_is_not_whole_is_completed_by_the_hub(mine: Fetcher, server: FileServer):
    write_picture(mine.folder / "picture.png")
    publish_view(server, "abcd", (mine.folder / "picture.png").read_bytes())
    write_photos(mine.output, "abc")
    write_view(mine.output, "ab")
    mine.run("mine/depth_train", HF_ENDPOINT=server.address)
    assert set(read_json(mine.output / VIEW / "manifest.json")["files"]) == {f"{name}.png" for name in "abcd"}


def test_a_view_by_hand_is_held_to_the_hashes_of_the_lock(mine: Fetcher, server: FileServer):
    """A teammate's data.lock knows each file; another one is fetched again, not taken as it is."""
    write_picture(mine.folder / "picture.png")
    picture = (mine.folder / "picture.png").read_bytes()
    publish_view(server, "abc", picture)
    mine.run("mine/depth_train", HF_ENDPOINT=server.address)
    shutil.rmtree(mine.output)
    write_photos(mine.output)
    write_view(mine.output)
    write_png(mine.output / VIEW / "b.png", np.ones((4, 5, 3), np.uint8))
    mine.run("mine/depth_train", HF_ENDPOINT=server.address)
    assert (mine.output / VIEW / "b.png").read_bytes() == picture


def test_a_file_by_hand_is_recorded(mine: Fetcher):
    (mine.output / "raw/mine").mkdir(parents=True)
    (mine.output / "raw/mine/split.json").write_text("{}")
    mine.run("mine/split.json", VCLR_OFFLINE="1")
    assert "raw/mine/split.json" in read_json(mine.lock)["files"]
    (mine.output / "raw/mine/split.json").write_text("[]")
    (mine.output / "raw/mine/manifest.json").unlink()
    assert "data.lock has it since" in mine.refused("mine/split.json", VCLR_OFFLINE="1")


def test_a_file_that_is_nowhere(mine: Fetcher):
    assert "missing or damaged: raw/mine/split.json" in mine.refused("mine/split.json", VCLR_OFFLINE="1")


# --- mirrors and names -----------------------------------------------------------------------------------------------


def test_a_mirror_needs_no_listing(mine: Fetcher, server: FileServer):
    picture = mine.folder / "picture.png"
    write_picture(picture)
    server.put("/mirror/raw/mine/split.json", b"{}")
    packed = {f"depth/{name}": picture.read_bytes() for name in ("a.png", "b.png")}
    server.put(f"/mirror/{VIEW}.zip", zipped({**packed, "depth/manifest.json": b"{}"}))
    mirror = {"VCLR_MIRROR": f"{server.address}/mirror", **NO_HUB}
    mine.run("mine/split.json", "mine/depth_train", **mirror)
    assert (mine.output / "raw/mine/split.json").read_bytes() == b"{}"
    assert set(read_json(mine.output / VIEW / "manifest.json")["files"]) == {"a.png", "b.png"}
    assert mine.run("mine/split.json", "mine/depth_train", **mirror).stdout == "mine: complete (2 files)\n"


def test_a_mirror_that_has_it_not(mine: Fetcher, server: FileServer):
    line = mine.refused("mine/depth_train", "--mirror", server.address, **NO_HUB)
    assert f"{server.address}/{VIEW}.zip" in line and "404" in line


def test_a_file_known_by_name_is_fetched_without_a_listing(mine: Fetcher, server: FileServer):
    server.put(f"/datasets/{REPOSITORY}/resolve/main/split.json", b"{}")
    mine.run("mine/split.json", HF_ENDPOINT=server.address)
    assert (mine.output / "raw/mine/split.json").read_bytes() == b"{}"


# --- a source with both ----------------------------------------------------------------------------------------------


def uvo() -> dict[str, Any]:
    """Return the shipped source of UVO, in the catalog's form."""
    source = read_catalog()["uvo"]
    assert source.hub is not None and source.manual is not None
    hub = {"repository": REPOSITORY, "kind": "dataset", "places": dict(source.hub.places)}
    manual: dict[str, Any] = {"text": source.manual.text, "folders": dict(source.manual.folders), "one_is_enough": True}
    manual["annotations"] = dict(source.manual.annotations)
    return {
        "hub": {**hub, "names": list(source.hub.names)},
        "manual": manual | {"annotations": {**source.manual.annotations}},
    }


FRAMES = "raw/uvo/uvo_videos_dense_frames"
OWIS_JSON = {"images": [{"id": 1, "file_name": "one/0.png"}, {"id": 2, "file_name": "one/1.png"}], "annotations": []}


def publish_uvo(server: FileServer, picture: bytes) -> None:
    files = {f"uvo_videos_dense_frames/one/{number}.png": picture for number in range(2)}
    files |= {"uvo_nonvoc_val_rle.json": json.dumps(OWIS_JSON).encode(), "vCLR_voc_train2017_top10.json": b"{}"}
    publish_files(server, files)


def test_uvo_comes_from_the_collection(fetcher: Fetcher, server: FileServer):
    fetcher.write(uvo=uvo())
    write_picture(fetcher.folder / "picture.png")
    publish_uvo(server, (fetcher.folder / "picture.png").read_bytes())
    fetcher.run("uvo", HF_ENDPOINT=server.address)
    own = {f"{FRAMES}/one/0.png", f"{FRAMES}/one/1.png", "raw/uvo/uvo_nonvoc_val_rle.json", "raw/uvo/manifest.json"}
    assert fetcher.files() == own
    assert fetcher.run("uvo", VCLR_OFFLINE="1").stdout == "uvo: complete (3 files)\n"


@pytest.mark.parametrize("name", ["uvo_nonvoc_val_rle.json", "uvo_val_dense.json"])
def test_uvo_by_hand(fetcher: Fetcher, server: FileServer, name: str):
    """With either json; an incomplete one goes on from the collection."""
    fetcher.write(uvo=uvo())
    line = fetcher.refused("uvo", VCLR_OFFLINE="1")
    assert "put it in place by hand" in line
    write_picture(fetcher.output / FRAMES / "one/0.png")
    (fetcher.output / "raw/uvo" / name).write_text(json.dumps(OWIS_JSON))
    assert "by hand" in fetcher.refused("uvo", VCLR_OFFLINE="1")
    write_picture(fetcher.output / FRAMES / "one/1.png")
    fetcher.run("uvo", VCLR_OFFLINE="1")
    assert fetcher.run("uvo", VCLR_OFFLINE="1").stdout == "uvo: complete\n"
    assert not server.log
