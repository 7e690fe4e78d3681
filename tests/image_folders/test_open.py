"""A zip in the place of a folder of images: the same files under the same names, clear words about a damaged one."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vclr.errors import UserError
from vclr.files import sha256, write_manifest
from vclr.image_folders.disk import DiskFolder
from vclr.image_folders.open import fingerprint, locate, open_folder
from vclr.image_folders.packed import PackedFolder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three pictures, one of them below it, turned by EXIF and gray, and a text file."""
    folder = tmp_path / "train2017"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(("b.png", "a.JPG", "more/ä.png")):
        picture = np.random.default_rng(number).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(picture if name != "b.png" else picture[..., 0]).save(folder / name)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.open(folder / "a.JPG").save(folder / "a.JPG", exif=turned)
    (folder / "notes.txt").write_text("not a picture")
    (folder / "._b.png").write_text("what a Mac adds")
    return folder


def pack(folder: Path, top: str = "", method: int = zipfile.ZIP_STORED, remove: bool = True) -> Path:
    """Pack a folder as people do, with entries for folders and everything below `top`, and call it something else."""
    with zipfile.ZipFile(f"{folder}.zip", "w", method) as packed:
        if top:
            packed.writestr(f"{top}/", "")
        for path in folder.rglob("*"):
            packed.write(path, Path(top, path.relative_to(folder)))
        packed.writestr("__MACOSX/._b.png", "what a Mac adds")
    if remove:
        folder.rename(folder.with_name("unpacked"))
    return Path(f"{folder}.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("top", ["", "train2017"])
def test_zip_is_read_as_its_folder(folder: Path, top: str, method: int):
    plain = open_folder(folder)
    names = ["a.JPG", "b.png", "more/ä.png", "notes.txt"]
    expected = {name: plain.read(name) for name in names}
    pictures = {name: np.asarray(plain.open(name)) for name in names[:3]}
    assert plain.image_names() == names[:2]
    zipped = pack(folder, top, method)
    for path in (folder, zipped, str(folder)):
        packed = open_folder(path)
        assert isinstance(packed, PackedFolder)
        assert packed.names() == names
        assert packed.image_names() == names[:2]
        assert {name: packed.read(name) for name in names} == expected
        for name, picture in pictures.items():
            np.testing.assert_array_equal(packed.open(name), picture)
    assert pictures["a.JPG"].shape == (30, 20, 3)


def test_names_are_found_as_in_a_folder(folder: Path):
    plain = DiskFolder(folder)
    packed = PackedFolder(pack(folder, "train2017", remove=False))
    names = ["b.png", "./b.png", "more//ä.png", "more/./ä.png", "more", "", ".", "c.png", "b.pn", "b.pngg", "a" * 300]
    assert [name in packed for name in names] == [name in plain for name in names]
    assert "train2017/b.png" in packed  # its whole name, which other annotations have


def test_a_folder_comes_before_a_zip(folder: Path):
    zipped = pack(folder, remove=False)
    assert locate(folder) == folder
    assert locate(zipped) == zipped
    assert locate(folder.parent / "absent") is None
    assert locate(folder / "notes.txt") is None
    with pytest.raises(UserError, match="absent: no such folder"):
        open_folder(folder.parent / "absent")


def test_table_of_contents_is_read_once(folder: Path):
    zipped = pack(folder)
    assert open_folder(zipped) is open_folder(folder)
    before = open_folder(zipped)
    with zipfile.ZipFile(zipped, "a") as packed:
        packed.writestr("new.txt", "new")
    assert "new.txt" not in before
    assert "new.txt" in open_folder(zipped)


def test_table_of_contents_is_small(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as packed:
        for number in range(5000):
            packed.writestr(f"{number:012d}.jpg", "")
    folder = PackedFolder(tmp_path / "many.zip")
    assert len(folder) == 5000
    assert folder.num_bytes <= 50 * 5000
    assert len(pickle.dumps(folder)) <= 51 * 5000


# --- processes and threads -------------------------------------------------------------------------------------------


def _read_all(folder: PackedFolder, times: int = 50) -> list[int]:
    return [len(folder.read(name)) for _ in range(times) for name in folder.names()]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_read_beside_each_other(folder: Path, method: str):
    packed = open_folder(pack(folder, method=zipfile.ZIP_DEFLATED))
    assert isinstance(packed, PackedFolder)
    expected = _read_all(packed)
    with multiprocessing.get_context(method).Pool(2) as pool:
        results = [pool.apply_async(_read_all, (packed,)) for _ in range(4)]
        assert all(_read_all(packed) == expected for _ in range(4))
        assert all(result.get(timeout=60) == expected for result in results)


def test_threads_read_beside_each_other(folder: Path):
    packed = PackedFolder(pack(folder))
    expected = _read_all(packed)
    with ThreadPoolExecutor(4) as pool:
        assert all(result == expected for result in pool.map(_read_all, [packed] * 8))


def test_file_is_closed_with_its_folder(folder: Path):
    zipped = pack(folder)
    before = len(os.listdir("/proc/self/fd"))
    packed = pickle.loads(pickle.dumps(PackedFolder(zipped)))
    assert len(os.listdir("/proc/self/fd")) == before + 1
    del packed
    assert len(os.listdir("/proc/self/fd")) == before


# --- names of other machines -------------------------------------------------------------------------------------

PICTURE = Image.new("RGB", (3, 2))


def write_zip(path: Path, *names: str) -> PackedFolder:
    with zipfile.ZipFile(path, "w") as packed:
        for name in names:
            info = zipfile.ZipInfo("x")
            info.filename = name  # a constructor would bring slashes and backslashes in order
            packed.writestr(info, name)
    return PackedFolder(path)


@pytest.mark.parametrize(
    ("member", "name"),
    [
        ("images\\a.jpg", "images/a.jpg"),
        ("images\\a.jpg", "images\\a.jpg"),
        ("images\\a.jpg", "a.jpg"),
        ("images/a.jpg", "images\\a.jpg"),
        ("cafe\u0301.jpg", "caf\u00e9.jpg"),
        ("caf\u00e9.jpg", "cafe\u0301.jpg"),
    ],
)
def test_other_spellings_are_found_in_a_zip(tmp_path: Path, member: str, name: str):
    packed = write_zip(tmp_path / "a.zip", member, member.replace("a.jpg", "b.jpg").replace("caf", "baf"))
    assert name in packed
    assert packed.read(name) == member.encode()
    assert len(packed.image_names()) == 2


def test_a_mac_packs_utf_8_without_saying_so(tmp_path: Path):
    path = tmp_path / "a.zip"
    write_zip(path, "café.jpg")
    data = path.read_bytes()
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # clear the flag in both headers
        at = data.index(signature) + place
        data = data[:at] + b"\0\0" + data[at + 2 :]
    path.write_bytes(data)
    assert PackedFolder(path).names() == ["café.jpg"]


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "x/../../a.jpg", "..\\a.jpg", "C:\\a.jpg"])
def test_a_zip_of_names_that_leave_it_is_refused(tmp_path: Path, name: str):
    with pytest.raises(UserError, match=r"a\.zip: member .* leaves the folder"):
        write_zip(tmp_path / "a.zip", "b.jpg", name)


@pytest.mark.parametrize("name", ["../secret.png", "x/../../secret.png", "..\\secret.png"])
def test_no_name_leads_out_of_a_folder(folder: Path, name: str):
    PICTURE.save(folder.parent / "secret.png")
    plain = DiskFolder(folder)
    for other in (name, str(folder.parent / "secret.png")):
        assert other not in plain
        for read in (plain.read, plain.open, plain.read_header, plain.size):
            with pytest.raises(UserError, match="does not exist"):
                read(other)


def test_a_file_that_was_meant_is_named(folder: Path):
    with pytest.raises(UserError, match=r"A\.jpg: does not exist; nearest: .*train2017/a\.JPG"):
        DiskFolder(folder).open("A.jpg")
    with pytest.raises(UserError, match=r"A\.jpg: does not exist; nearest: .*train2017\.zip/a\.JPG"):
        open_folder(pack(folder, "train2017")).open("A.jpg")
    with pytest.raises(UserError, match=r"train2071: no such folder; nearest: .*/train2017\.zip"):
        open_folder(folder.with_name("train2071"))


def test_links_out_of_a_folder_are_known(folder: Path, tmp_path: Path):
    PICTURE.save(tmp_path / "disk.png")
    (folder / "l.png").symlink_to(tmp_path / "disk.png")
    (folder / "inside.png").symlink_to("b.png")
    (folder / "deep").symlink_to(tmp_path, target_is_directory=True)
    plain = DiskFolder(folder)
    assert plain.leads_outside("l.png") == plain.leads_outside("deep/disk.png") == (tmp_path / "disk.png").resolve()
    assert plain.leads_outside("inside.png") is plain.leads_outside("b.png") is None
    assert plain.open("l.png").size == (3, 2), "and are followed"


# --- damage ----------------------------------------------------------------------------------------------------------


def test_a_file_that_is_missing_or_no_image_is_named(folder: Path):
    packed = open_folder(pack(folder, "train2017"))
    with pytest.raises(UserError, match=r"train2017\.zip/c\.png: does not exist"):
        packed.open("c.png")
    with pytest.raises(UserError, match=r"train2017\.zip/notes\.txt: is not an image"):
        packed.open("notes.txt")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_changed_bytes_are_found(folder: Path, method: int):
    content = (folder / "b.png").read_bytes()
    zipped = pack(folder, method=method)
    with zipfile.ZipFile(zipped) as packed:
        start = packed.getinfo("b.png").header_offset + 30 + len("b.png")
    data = bytearray(zipped.read_bytes())
    for place in range(start + 20, start + 40):
        data[place] ^= 0xFF
    zipped.write_bytes(data)
    damaged = PackedFolder(zipped)
    assert len(content) > 100
    with pytest.raises(UserError, match=r"train2017\.zip/b\.png: (is damaged|cannot be read from the zip)"):
        damaged.open("b.png")
    damaged.open("a.JPG")


def test_moved_bytes_are_found(folder: Path):
    zipped = pack(folder)
    zipped.write_bytes(zipped.read_bytes().replace(b"PK\x03\x04", b"XX\x03\x04"))
    with pytest.raises(UserError, match=r"a\.JPG: cannot be read from the zip"):
        PackedFolder(zipped).open("a.JPG")


@pytest.mark.parametrize("length", [0, 10, -1, -60, -400])
def test_a_zip_that_is_cut_off_is_one_line(folder: Path, length: int):
    zipped = pack(folder)
    zipped.write_bytes(zipped.read_bytes()[:length])
    with pytest.raises(UserError, match=r"train2017\.zip: is not a complete zip") as error:
        open_folder(folder)
    assert "\n" not in str(error.value)


def test_a_zip_that_shrinks_while_it_is_read_is_one_line(folder: Path):
    packed = PackedFolder(pack(folder))
    os.truncate(packed.path, 10)
    for name in packed.names():
        with pytest.raises(UserError, match=r"train2017\.zip/.*: "):
            packed.read(name)


def test_what_is_packed_otherwise_is_refused_when_it_is_read(folder: Path):
    packed = PackedFolder(pack(folder, method=zipfile.ZIP_LZMA))
    with pytest.raises(UserError, match=r"b\.png: is encrypted, or neither stored nor deflated"):
        packed.open("b.png")


# --- what stands for it ----------------------------------------------------------------------------------------------


def test_manifest_stands_for_a_folder_packed_or_not(folder: Path):
    assert fingerprint(folder) is None
    beside = write_manifest(folder.parent, [folder / "b.png"])
    assert fingerprint(folder) == sha256(beside)
    own = sha256(write_manifest(folder, [folder / "b.png"]))
    assert fingerprint(folder) == own
    pack(folder, "train2017")
    assert fingerprint(folder) == own


FETCHED = {"source": "own", "folder": "raw/own", "folders": {}}


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        None,
        {**FETCHED, "files": 1},
        {**FETCHED, "files": {"raw/own/train2017.zip": 1}},
        {**FETCHED, "files": {"raw/own/train2017.zip": {}}},
        {**FETCHED, "files": {"raw/own/train2017.zip": {"sha256": 5}}},
        {**FETCHED, "files": {"a.zip": {"unpacked": {"folder": "raw/own/train2017"}}}},
        {**FETCHED, "files": {"a.zip": {"unpacked": []}}},
        {**FETCHED, "files": {"a.zip": {"unpacked": {"folder": "", "files": 5}}}},
        {**FETCHED, "files": {"raw/own/val2017.zip": {"sha256": "0"}}},
        {**FETCHED, "files": {}, "folders": {"raw/own/train2017": 1}},
        {**FETCHED, "files": {}, "folders": {"raw/own/train2017": {"files": {"a.png": {}}}}},
        {**FETCHED, "files": {}, "folders": {"raw/own/train2017": {"files": {"a.png": None, "b.png": None}}}},
        {**FETCHED, "files": {}, "folders": []},
    ],
    ids=str,
)
def test_another_programs_manifest_beside_a_folder_stands_for_it_whole(folder: Path, content: object):
    beside = folder.parent / "manifest.json"
    beside.write_text(json.dumps(content))
    assert fingerprint(folder) == sha256(beside)


def test_contents_stand_for_a_zip_without_a_manifest(folder: Path):
    zipped = pack(folder)
    first = fingerprint(folder)
    assert first is not None
    folder.with_name("unpacked").rename(folder)
    pack(folder, "train2017", zipfile.ZIP_DEFLATED)
    assert fingerprint(zipped) == first  # packed otherwise, but the same files
    folder.with_name("unpacked").rename(folder)
    (folder / "notes.txt").write_text("not A picture")
    pack(folder)
    assert fingerprint(zipped) != first


def test_a_file_is_no_folder(tmp_path: Path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(UserError, match=r"a\.jpg: is a file; name a folder, or its zip"):
        open_folder(tmp_path / "a.jpg")
