"""Several image folders as one: what is found where, what messages say, what trainings hash."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from vclr.errors import UserError
from vclr.image_folders.open import each_folder, find_missing, fingerprint, open_folder
from vclr.image_folders.several import SeveralFolders


def save(path: Path, value: int = 0, size: tuple[int, int] = (4, 3)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Two folders, the second one packed; both have `both.png`, with other bytes."""
    save(tmp_path / "val/a.png", 1)
    save(tmp_path / "val/both.png", 2)
    with zipfile.ZipFile(tmp_path / "train.zip", "w") as packed:
        packed.write(save(tmp_path / "b.png", 3, (5, 2)), "b.png")
        packed.write(save(tmp_path / "other.png", 4), "both.png")
    return [tmp_path / "val", tmp_path / "train"]


@pytest.fixture
def photos(folders: list[Path]) -> SeveralFolders:
    opened = open_folder(folders)
    assert isinstance(opened, SeveralFolders)
    return opened


def test_a_file_is_the_one_in_the_first_folder_that_has_it(photos: SeveralFolders, folders: list[Path]):
    assert photos.image_names() == photos.images_below("") == ["a.png", "b.png", "both.png"]
    assert [photos.open(name).getpixel((0, 0))[0] for name in photos.image_names()] == [1, 3, 2]
    assert (photos.read_header("b.png").width, photos.read_header("b.png").height) == (5, 2)
    assert photos.path_of("b.png") == folders[1].with_suffix(".zip") / "b.png"
    assert photos.size("a.png") == len(photos.read("a.png")) and "a.png" in photos and "c.png" not in photos
    assert photos.identity("c.png") is None and photos.identity("a.png") != photos.identity("b.png")
    other = open_folder(list(reversed(folders)))
    assert other.open("both.png").getpixel((0, 0))[0] == 4


def test_a_file_that_no_folder_has(photos: SeveralFolders, folders: list[Path]):
    with pytest.raises(UserError, match=r"val/A\.PNG: does not exist; nearest: .*val/a\.png"):
        photos.read("A.PNG")
    assert photos.index({"a.png", "both.png"}).names == ["b.png"]
    assert photos.path_of("c.png") == folders[0] / "c.png"
    assert "../b.png" not in photos


def test_one_of_the_folders_may_have_no_images(folders: list[Path], tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert open_folder([tmp_path / "empty", folders[0]]).image_names() == open_folder(folders[0]).image_names()
    with pytest.raises(UserError, match="contains no images"):
        open_folder([tmp_path / "empty", tmp_path / "empty"]).image_names()


def test_names_for_which_folders_disagree(photos: SeveralFolders, folders: list[Path]):
    assert photos.conflicts(["a.png", "b.png", "both.png", "c.png"]) == ["both.png"]
    same = open_folder([folders[0], folders[0]])
    assert isinstance(same, SeveralFolders) and same.conflicts(["a.png", "both.png"]) == []


def test_workers_get_the_same_folders(photos: SeveralFolders):
    assert pickle.loads(pickle.dumps(photos)).read("b.png") == photos.read("b.png")


def test_one_folder_is_no_list(folders: list[Path]):
    assert not isinstance(open_folder(folders[:1]), SeveralFolders)
    assert each_folder(str(folders[0])) == each_folder(folders[:1]) == folders[:1]
    assert fingerprint([folders[1]]) == fingerprint(folders[1])


def test_a_folder_that_does_not_exist(folders: list[Path]):
    wrong = folders[0].with_name("vall")
    assert find_missing(folders) is None and find_missing([folders[0], wrong]) == wrong
    with pytest.raises(UserError, match="vall: no such folder; nearest: .*val"):
        open_folder([folders[0], wrong])


def test_fingerprint_is_of_all_folders(folders: list[Path]):
    assert fingerprint(folders) is None  # the first has no manifest
    (folders[0] / "manifest.json").write_text("{}")
    first, both = fingerprint(folders[0]), fingerprint(folders)
    assert both is not None and both != first and fingerprint(list(reversed(folders))) != both
