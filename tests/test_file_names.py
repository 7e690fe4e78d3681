"""File names from other machines: spellings of the same file, names that leave a folder, and nearest names."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from vclr.file_names import NameIndex, file_key, is_mac_metadata, leaves_folder, say_nearest, spellings

NFC, NFD = (unicodedata.normalize(form, "café.jpg") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("name", "other"),
    [("./a.jpg", "a.jpg"), ("x//a.jpg", "x/a.jpg"), ("x\\a.jpg", "x/a.jpg"), ("x/./a.jpg", "x/a.jpg"), (NFC, NFD)],
)
def test_names_of_one_file_are_one(name: str, other: str):
    assert file_key(name) == file_key(other)


@pytest.mark.parametrize(("name", "other"), [("a.jpg", "A.jpg"), ("a b.jpg", "a%20b.jpg"), ("x/a.jpg", "a.jpg")])
def test_names_that_are_only_alike_stay_two(name: str, other: str):
    assert file_key(name) != file_key(other)
    assert other not in spellings(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "x/../../a", "x/..", "/a", "\\a", "\\\\host\\a", "C:\\a", "c:a", "x\\..\\..\\a"]
)
def test_names_that_leave_the_folder(name: str):
    assert leaves_folder(name)


@pytest.mark.parametrize("name", ["a", "...", "a..b", "12:30.jpg", "x/..a", "~/a", "%2e%2e/a", "http://host/a.jpg"])
def test_names_that_stay_in_the_folder(name: str):
    assert not leaves_folder(name)


@pytest.mark.parametrize(
    ("missing", "there"),
    [
        ("img_1.jpg", "IMG_1.JPG"),
        ("my%20photo.jpg", "my photo.jpg"),
        ("train2017/000001.jpg", "000001.jpg"),
        ("000001.jpg", "val/000001.jpg"),
        ("a.jpeg", "a.jpg"),
        (NFD.upper(), NFC),
        ("IMG_0012.jpg", "IMG_012.jpg"),
    ],
)
def test_what_was_meant_is_found(missing: str, there: str):
    assert NameIndex(["zebra.png", there]).nearest(missing) == there


def test_what_is_quite_different_is_not_offered():
    assert NameIndex(["zebra.png"]).nearest("a.jpg") is None
    assert NameIndex([]).nearest("a.jpg") is None
    assert NameIndex(["IMG_012.jpg"]).alike("IMG_0012.jpg") is None


def test_the_first_wrong_part_of_a_path_is_replaced(tmp_path: Path):
    (tmp_path / "mine" / "images").mkdir(parents=True)
    assert say_nearest(tmp_path / "mine" / "image") == f"; nearest: {tmp_path}/mine/images"
    assert say_nearest(tmp_path / "mien" / "images") == f"; nearest: {tmp_path}/mine"
    assert say_nearest(tmp_path / "mine" / "zebra") == ""
    assert say_nearest(tmp_path / "mine" / "images" / "a.json") == ""


def test_paths_below_here_are_found_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "train.json").touch()
    monkeypatch.chdir(tmp_path)
    assert say_nearest("tarin.json") == "; nearest: train.json"
    assert os.listdir() == ["train.json"]


@pytest.mark.parametrize("name", ["._a.jpg", "x/._a.jpg", "x\\._a.jpg", "__MACOSX/a.jpg", "x/__MACOSX/y/a.jpg"])
def test_files_that_a_mac_adds(name: str):
    assert is_mac_metadata(name)


@pytest.mark.parametrize("name", ["a.jpg", ".a.jpg", "a._b.jpg", "._x/a.jpg", "MACOSX/a.jpg", ""])
def test_files_that_it_does_not(name: str):
    assert not is_mac_metadata(name)
