"""Photos in `patchN/` folders are found by every name that a json gives them, and two of one name are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from vclr.errors import UserError
from vclr.image_folders.disk import DiskFolder
from vclr.image_folders.open import fingerprint, open_folder
from vclr.pictures import write_png

PLACES = ["patch8/a.png", "images/v1/patch8/a.png", "v2/patch20/a.png", "val/images/v2/patch20/a.png"]


def write_photo(path: Path, value: int = 0) -> None:
    write_png(path, np.full((4, 5, 3), value, np.uint8))


@pytest.fixture(params=["folder", "zip"])
def is_packed(request: pytest.FixtureRequest) -> bool:
    return str(request.param) == "zip"


def pack(folder: Path) -> None:
    shutil.make_archive(str(folder), "zip", folder)
    shutil.rmtree(folder)


@pytest.mark.parametrize("place", PLACES)
def test_a_photo_in_a_patch_is_found_by_every_name_of_it(tmp_path: Path, place: str, is_packed: bool):
    write_photo(tmp_path / "val" / place, 7)
    write_photo(tmp_path / "val/b.png", 9)
    if is_packed:
        pack(tmp_path / "val")
    folder = open_folder(tmp_path / "val")
    patch = place.split("/")[-2]
    for name in ("a.png", f"{patch}/a.png", f"images/v1/{patch}/a.png", place):
        assert name in folder
        assert np.asarray(folder.open(name))[0, 0, 0] == 7
        assert folder.read_header(name)[:2] == (4, 5)
        assert folder.size(name) == len(folder.read(name))
        assert folder.identity(name) == folder.identity(place)
        assert folder.path_of(name) == folder.path / place
    assert "b.png" in folder and np.asarray(folder.open("b.png"))[0, 0, 0] == 9
    assert folder.image_names() == ["a.png", "b.png"]


def test_another_patch_or_another_folder_is_another_photo(tmp_path: Path, is_packed: bool):
    write_photo(tmp_path / "val/patch8/a.png")
    write_photo(tmp_path / "val/thumbnails/c.png")
    if is_packed:
        pack(tmp_path / "val")
    folder = open_folder(tmp_path / "val")
    for name in ("patch9/a.png", "images/v1/patch9/a.png", "photos/a.png", "c.png", "", "."):
        assert name not in folder
        assert folder.identity(name) is None


def test_two_photos_of_one_name_are_refused(tmp_path: Path, is_packed: bool):
    for place in ("patch8/a.png", "patch9/a.png"):
        write_photo(tmp_path / "one/val" / place)
    for place in ("patch8/a.png", "a.png"):
        write_photo(tmp_path / "two/val" / place)
    for case, second in (("one", "patch9/a.png"), ("two", "a.png")):
        if is_packed:
            pack(tmp_path / case / "val")
        with pytest.raises(UserError) as error:
            open_folder(tmp_path / case / "val")
        assert "has a.png twice, as patch" in str(error.value) and second in str(error.value)


def test_other_folders_are_what_they_were(tmp_path: Path):
    write_photo(tmp_path / "photos/a.png")
    write_photo(tmp_path / "photos/patches/b.png")
    assert isinstance(open_folder(tmp_path / "photos"), DiskFolder)
    assert "b.png" not in open_folder(tmp_path / "photos")


def test_a_packed_folder_of_patches_has_a_fingerprint(tmp_path: Path):
    write_photo(tmp_path / "val/patch8/a.png")
    write_photo(tmp_path / "val/patch9/b.png")
    pack(tmp_path / "val")
    assert fingerprint(tmp_path / "val") is not None
