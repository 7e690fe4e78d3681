"""Packing: the same bytes from the same files, nothing lost, nothing replaced unasked."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from vclr.errors import UsageError, UserError
from vclr.files import read_json, sha256, write_manifest
from vclr.generate.pack import pack_folder
from vclr.image_folders.open import fingerprint, open_folder
from vclr.image_folders.packed import PackedFolder
from vclr.pictures import write_png
from vclr.views.write import write_views

NAMES = {".": ["b.png", "a.png"], "..": ["photos.v2/b.png", "photos.v2/a.png"]}  # as the manifest of a place has them


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos.v2"
    for number, name in enumerate(("b.png", "a.png", "more/c.png", "ä.png")):
        write_png(folder / name, np.full((4, 6, 3), number, np.uint8))
    (folder / "empty.txt").touch()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_zip_holds_every_file_and_a_manifest(folder: Path):
    before = contents(folder)
    target = pack_folder(folder, quiet=True)
    assert target == folder.with_name("photos.v2.zip")
    assert contents(folder) == before
    with zipfile.ZipFile(target) as packed:
        assert packed.testzip() is None
        assert packed.namelist() == [*sorted(before), "manifest.json"]
        packed.extractall(folder.with_name("again"))
    unpacked = folder.with_name("again")
    manifest = read_json(unpacked / "manifest.json")
    assert manifest["files"].keys() == before.keys()
    again = write_manifest(folder, [path for path in folder.rglob("*") if path.is_file()])
    assert (unpacked / "manifest.json").read_bytes() == again.read_bytes()
    (unpacked / "manifest.json").unlink()
    assert contents(unpacked) == before


def test_same_files_give_the_same_bytes(folder: Path, tmp_path: Path):
    """Whatever their times, modes and order in the folder, on every machine."""
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
    files = {f"{letter}.bin": letter.encode() * number for number, letter in enumerate("qaäz")}
    for name, content in files.items():
        (tmp_path / "x" / name).write_bytes(content)
    for name in reversed(files):
        (tmp_path / "y" / name).write_bytes(files[name])
        os.chmod(tmp_path / "y" / name, 0o600)
        os.utime(tmp_path / "y" / name, (1e9, 1e9))
    first, second = (pack_folder(tmp_path / name, quiet=True) for name in ("x", "y"))
    assert first.read_bytes() == second.read_bytes()
    assert sha256(first) == "998fcfec91b50061432a1648846db1fb66b04f94eac1c584f6754e9ddcc1621b"


def test_own_manifest_goes_along(folder: Path):
    own = write_manifest(folder, [folder / "b.png"], view="edge")
    before = fingerprint(folder)
    pack_folder(folder, remove=True, quiet=True)
    assert not folder.exists()
    assert open_folder(folder).read("manifest.json").startswith(b'{\n "view": "edge"')
    assert fingerprint(folder) == before  # a training of the folder goes on
    assert not own.exists()


def test_manifest_of_the_whole_data_set_stands_for_the_zip_too(folder: Path):
    write_manifest(folder.parent, [folder / "b.png"])
    before = fingerprint(folder)
    packed = open_folder(pack_folder(folder, remove=True, quiet=True))
    assert "manifest.json" not in packed
    assert fingerprint(folder) == before


@pytest.mark.parametrize("place", [".", ".."])
@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_files_that_a_manifest_does_not_know_so_are_refused(folder: Path, damage: str, place: str):
    manifest = write_manifest(folder / place, [folder / place / name for name in NAMES[place]])
    (folder / "a.png").write_bytes(b"else") if damage == "changed" else (folder / "a.png").unlink()
    with pytest.raises(UserError, match=r"photos\.v2/a\.png: is (not what|missing, but) .*manifest\.json"):
        pack_folder(folder, remove=True, quiet=True)
    assert manifest.is_file()
    assert not list(folder.parent.glob("*.zip"))


def test_zip_is_as_old_as_its_newest_file(folder: Path):
    """What was computed from the folder is newer than its files, and stays newer than the zip."""
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (1e9, 1e9))
    os.utime(folder / "b.png", (1.1e9, 1.1e9))
    assert pack_folder(folder, quiet=True).stat().st_mtime == 1.1e9


def test_packing_again_changes_nothing(folder: Path):
    target = pack_folder(folder, quiet=True)
    before = target.stat()
    assert pack_folder(folder, quiet=True) == target
    assert (target.stat().st_ino, target.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    pack_folder(folder, remove=True, quiet=True)
    assert not folder.exists()


def test_published_zip_of_the_same_files_stays(folder: Path):
    """As COCO publishes them: one folder in it, deflated, no manifest."""
    shutil.make_archive(str(folder), "zip", folder.parent, folder.name)
    before = sha256(f"{folder}.zip")
    pack_folder(folder, remove=True, quiet=True)
    assert sha256(f"{folder}.zip") == before
    assert not folder.exists()


@pytest.mark.parametrize("change", ["other", "more", "fewer"])
def test_another_zip_is_replaced_on_request_only(folder: Path, change: str):
    target = pack_folder(folder, quiet=True)
    before = target.read_bytes()
    if change == "other":
        (folder / "b.png").write_bytes(bytes(reversed((folder / "b.png").read_bytes())))
    elif change == "more":
        (folder / "z.png").touch()
    else:
        (folder / "b.png").unlink()
    with pytest.raises(UsageError, match=r"photos\.v2\.zip: exists and differs .*, for example in [bz]\.png; "):
        pack_folder(folder, remove=True, quiet=True)
    assert target.read_bytes() == before
    assert folder.is_dir()
    pack_folder(folder, overwrite=True, quiet=True)
    assert {name: open_folder(target).read(name) for name in contents(folder)} == contents(folder)


def test_what_a_zip_cannot_hold_is_named(folder: Path, tmp_path: Path):
    for make in (
        lambda path: path.symlink_to(folder / "b.png"),
        lambda path: path.symlink_to(folder / "more"),
        os.mkfifo,
        lambda path: Path(os.fsdecode(bytes(path.parent) + b"/\xff")).touch(),
    ):
        make(folder / "odd")
        with pytest.raises(UserError, match=r"(odd: is (a link|no file), which)|(udcff.*: its name is not UTF-8)"):
            pack_folder(folder, remove=True, quiet=True)
        for odd in [path for path in folder.iterdir() if path.name in ("odd", "\udcff")]:
            odd.unlink()
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(UsageError, match="link: is a link"):
        pack_folder(tmp_path / "link", remove=True, quiet=True)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match="nothing: holds no file"):
        pack_folder(tmp_path / "nothing", quiet=True)
    with pytest.raises(UserError, match="absent: no such folder"):
        pack_folder(tmp_path / "absent", quiet=True)
    assert not list(tmp_path.glob("*.zip"))


def test_full_disk_is_known_before_anything_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=500))
    with pytest.raises(UserError, match=r"photos\.v2\.zip: needs 0\.0 GB, but 0\.0 GB are free"):
        pack_folder(folder, remove=True, quiet=True)
    assert [path.name for path in folder.parent.iterdir()] == ["photos.v2"]


def test_zip_that_did_not_arrive_whole_replaces_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """A disk that gives other bytes back, of one file."""
    read = PackedFolder.read
    monkeypatch.setattr(PackedFolder, "read", lambda self, name: read(self, name)[: -1 if name == "b.png" else None])
    with pytest.raises(UserError, match=r"photos\.v2\.zip: b\.png did not arrive"):
        pack_folder(folder, remove=True, quiet=True)
    assert [path.name for path in folder.parent.iterdir()] == ["photos.v2"]


def test_folder_that_changes_meanwhile_stays(folder: Path, monkeypatch: pytest.MonkeyPatch):
    write_zip = zipfile.ZipFile.open

    def open_and_add(self: zipfile.ZipFile, *arguments: object) -> object:
        (folder / "late.png").touch()
        return write_zip(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(zipfile.ZipFile, "open", open_and_add)
    with pytest.raises(UserError, match=r"photos\.v2: changed while it was packed, so it is not removed"):
        pack_folder(folder, remove=True, quiet=True)
    assert (folder / "late.png").exists()


def test_views_of_a_zip_are_those_of_its_folder(folder: Path, tmp_path: Path):
    first = write_views("random_conv", folder, tmp_path / "first", quiet=True)
    pack_folder(folder, remove=True, quiet=True)
    second = write_views("random_conv", folder, tmp_path / "second", quiet=True)
    assert first.read_bytes() == second.read_bytes()
    for images in (folder, f"{folder}.zip"):
        with pytest.raises(UsageError, match="contains the photos"):  # the folder would hide the zip
            write_views("edge", Path(images), folder, quiet=True)
