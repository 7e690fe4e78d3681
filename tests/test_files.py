"""Files are complete or absent, and a file that cannot be read is named in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vclr.errors import UserError
from vclr.files import (
    atomic_folder,
    atomic_path,
    find_partials,
    read_json,
    remove_partials,
    replace_folder,
    sha256,
    write_json,
    write_manifest,
)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_atomic_path_writes_the_whole_file(tmp_path: Path):
    with atomic_path(tmp_path / "new" / "a.txt") as partial:
        partial.write_text("whole")
        assert not (tmp_path / "new" / "a.txt").exists()
    assert (tmp_path / "new" / "a.txt").read_text() == "whole"
    assert names_in(tmp_path / "new") == ["a.txt"]


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    (tmp_path / "a.txt").write_text("old")

    def write() -> None:
        with atomic_path(tmp_path / "a.txt") as partial:
            partial.write_text("hal")
            raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        write()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert names_in(tmp_path) == ["a.txt"]


def test_full_disk_is_said_with_the_file(tmp_path: Path):
    def write_on_full_disk() -> None:
        with atomic_path(tmp_path / "a.txt"):
            Path("/dev/full").write_text("more than fits")

    with pytest.raises(OSError, match="No space left") as raised:
        write_on_full_disk()
    assert raised.value.filename == str(tmp_path / "a.txt")
    assert names_in(tmp_path) == []


def test_what_a_killed_write_left_is_removed(tmp_path: Path):
    for name in (".last.pt.123.partial", ".metrics.jsonl.9.partial", "mine.partial", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / ".folder.1.partial").mkdir()
    remove_partials(tmp_path, "last.pt")
    assert names_in(tmp_path) == [".folder.1.partial", ".hidden", ".metrics.jsonl.9.partial", "mine.partial"]
    remove_partials(tmp_path)
    assert names_in(tmp_path) == [".folder.1.partial", ".hidden", "mine.partial"]
    remove_partials(tmp_path / "absent")


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127])
def test_name_as_long_as_names_can_be_is_written_and_its_partials_are_found(tmp_path: Path, name: str):
    with atomic_path(tmp_path / name) as partial:
        partial.write_text("whole")
        assert list(find_partials(tmp_path, name)) == list(find_partials(tmp_path)) == [partial]
        assert not list(find_partials(tmp_path, name[:-1]))
    assert names_in(tmp_path) == [name]
    partial.touch()
    remove_partials(tmp_path, name)
    (tmp_path / name).unlink()
    for content in ("first", "second"):
        with atomic_folder(tmp_path / name) as folder:
            (folder / content).touch()
    assert names_in(tmp_path) == [name] and names_in(tmp_path / name) == ["second"]


def test_failed_folder_leaves_the_old_folder_and_nothing_else(tmp_path: Path):
    (tmp_path / "views").mkdir()
    (tmp_path / "views" / "old.png").write_text("old")

    def write() -> None:
        with atomic_folder(tmp_path / "views") as partial:
            (partial / "new.png").write_text("new")
            raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        write()
    assert names_in(tmp_path) == ["views"]
    assert names_in(tmp_path / "views") == ["old.png"]


def test_folder_replaces_the_old_one_as_a_whole(tmp_path: Path):
    for name in ("first", "second"):
        with atomic_folder(tmp_path / "views") as partial:
            (partial / name).write_text(name)
    assert names_in(tmp_path / "views") == ["second"]


def test_a_folder_that_is_replaced_is_moved_aside_first(tmp_path: Path):
    (tmp_path / "views").mkdir()
    (tmp_path / "views" / "old.png").touch()
    with pytest.raises(FileNotFoundError):  # as a kill between the two steps would
        replace_folder(tmp_path / "nowhere", tmp_path / "views", tmp_path / "aside")
    assert names_in(tmp_path / "aside") == ["old.png"]


def test_folders_that_killed_processes_left_are_removed(tmp_path: Path):
    with atomic_folder(tmp_path / "views") as alive:
        (tmp_path / ".views.1.partial").mkdir()
        (tmp_path / ".views.1.partial" / "half").touch()
        alive = alive.rename(tmp_path / ".views.2.partial")  # as if another process were at work
        with atomic_folder(tmp_path / "views"):
            assert ".views.2.partial" in names_in(tmp_path)
            assert ".views.1.partial" not in names_in(tmp_path)
        alive.rename(tmp_path / f".views.{os.getpid()}.partial")
    assert names_in(tmp_path) == ["views"]


def test_json_round_trip(tmp_path: Path):
    value = {"a": [1, 2.5, None], "ü": "text"}
    write_json(tmp_path / "a.json", value, indent=1)
    assert read_json(tmp_path / "a.json") == value
    assert (tmp_path / "a.json").read_bytes().endswith(b"\n")


def test_json_that_cannot_be_written_leaves_the_old_one(tmp_path: Path):
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", [{1, 2}])
    assert read_json(tmp_path / "a.json") == [1]
    assert names_in(tmp_path) == ["a.json"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"images": [1, 2', "line 1 column 17: not valid json"),
        (b"", "is empty, which is not valid json"),
        (b"\xff\xfe\x00", "line 1: is not UTF-8 text (byte 0x00); convert it, for example with `iconv"),
        (b"[" * 100_000, "not usable json"),
        (b"1" * 10_000, "not usable json"),
        (b'\xef\xbb\xbf{"a"}', "line 1 column 5: not valid json"),
        (b'[1,\n"caf\xe9"]', "line 2: is not UTF-8 text (byte 0xe9)"),
        (b"NaN", "NaN is not valid json"),
        (b'{"a": {"b": [1, {"c": -Infinity}]}}', "a: b[1].c is -Infinity, which is not valid json"),
        (b'[{}, {"id": 7, "score": NaN}]', "[1] (id 7): score is NaN, which is not valid json"),
    ],
)
def test_broken_json_is_one_line(tmp_path: Path, content: bytes, says: str):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tarin.json", r"tarin\.json: cannot be read: no such file; nearest: .*/train\.json"),
        ("other/train.json", r"other/train\.json: cannot be read: no such file$"),
        ("train.json/a.json", "cannot be read: Not a directory"),
        (".", "cannot be read: is a folder"),
        ("a\0b.json", "cannot be read"),
    ],
)
def test_json_that_is_no_file_is_one_line(tmp_path: Path, name: str, says: str):
    (tmp_path / "train.json").write_text("{}")
    with pytest.raises(UserError, match=says):
        read_json(tmp_path / name)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "utf-8"])
def test_byte_order_marks_are_read_over(tmp_path: Path, encoding: str):
    (tmp_path / "a.json").write_text('{"name": "café"}', encoding=encoding)
    assert read_json(tmp_path / "a.json") == {"name": "café"}


def test_manifest_names_every_file_with_its_hash(tmp_path: Path):
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).write_text(name)
    write_manifest(tmp_path, [tmp_path / "b.txt", tmp_path / "a.txt"], generator="test")
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["generator"] == "test"
    assert list(manifest["files"]) == ["a.txt", "b.txt"]
    assert manifest["files"]["a.txt"] == {"bytes": 5, "sha256": sha256(tmp_path / "a.txt")}
