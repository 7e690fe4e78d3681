"""Archives: what is in them comes out as it is; what does not belong there is refused, and nothing is left of it."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vclr.errors import UserError
from vclr.fetch import archive as archives
from vclr.fetch.archive import count_members, unpack
from vclr.files import sha256

FILES = {"photos/a.jpg": b"a" * 5000, "photos/deep/b.jpg": b"b", "list.txt": b""}
KINDS = ("zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz")


def write_zip(path: Path, files: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (modes or {}).get(name, stat.S_IFREG | 0o644) << 16
            file.writestr(info, content, zipfile.ZIP_DEFLATED)
    return path


def write_tar(path: Path, files: dict[str, bytes], *others: tarfile.TarInfo) -> Path:
    suffix = path.name.rpartition(".")[2]
    compression = {"tar": "", "gz": "gz", "tgz": "gz", "bz2": "bz2", "xz": "xz"}[suffix]
    with tarfile.open(path, f"w:{compression}") as file:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o777
            file.addfile(info, io.BytesIO(content))
        for other in others:
            file.addfile(other)
    return path


def write(path: Path, files: dict[str, bytes]) -> Path:
    return write_zip(path, files) if path.suffix == ".zip" else write_tar(path, files)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(archive: Path, **options: object) -> str:
    """Return why an archive is refused; nothing may come of it, anywhere."""
    root = archive.parent
    before = contents(root)
    with pytest.raises(UserError) as error:
        unpack(archive, root / "data" / "into", **options)  # type: ignore[arg-type]
    assert contents(root) == before
    assert not list((root / "data" / "into").iterdir())
    assert "\n" not in str(error.value) and str(error.value).startswith(f"{archive}: ")
    return str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_files_come_out(tmp_path: Path, kind: str):
    archive = write(tmp_path / f"some.{kind}", FILES)
    sizes: list[int] = []
    entries = unpack(archive, tmp_path / "into", yields={"photos": 2, "list.txt": 1}, report=sizes.append)
    assert contents(tmp_path / "into") == FILES
    assert {path: entry["sha256"] for path, entry in entries.items()} == {
        path: sha256(tmp_path / "into" / path) for path in FILES
    }
    assert sum(sizes) == sum(entry["bytes"] for entry in entries.values()) == 5001


def test_modes_are_not_taken_over(tmp_path: Path):
    one = write_zip(tmp_path / "one.zip", {"a": b"a"}, {"a": stat.S_IFREG | stat.S_ISUID | 0o777})
    for archive in (one, write_tar(tmp_path / "two.tar", {"b": b"b"})):
        unpack(archive, tmp_path / "into")
    assert not any(path.stat().st_mode & 0o7111 for path in (tmp_path / "into").iterdir())


def test_files_join_those_that_are_there(tmp_path: Path):
    (tmp_path / "into" / "photos").mkdir(parents=True)
    (tmp_path / "into" / "photos" / "a.jpg").write_bytes(b"damaged")
    (tmp_path / "into" / "photos" / "mine.jpg").write_bytes(b"mine")
    unpack(write_zip(tmp_path / "some.zip", FILES), tmp_path / "into")
    assert contents(tmp_path / "into") == {**FILES, "photos/mine.jpg": b"mine"}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"style/a.png": b"1", "style/b/c.png": b"2"}, {"a.png", "b/c.png"}),
        ({"a.png": b"1", "b/c.png": b"2"}, {"a.png", "b/c.png"}),
        ({"home/me/style/a.png": b"1"}, {"a.png"}),
        ({"style/a.png": b"1", "other/a.png": b"2"}, {"style/a.png", "other/a.png"}),
        ({"styles/a.png": b"1"}, {"styles/a.png"}),
    ],
)
def test_top_folder_of_a_given_name_is_left_out(tmp_path: Path, files: dict[str, bytes], expected: set[str]):
    entries = unpack(write_tar(tmp_path / "x.tar", files), tmp_path / "into", strip=("style_train", "style"))
    assert set(entries) == set(contents(tmp_path / "into")) == expected


BAD_NAMES = ["../evil", "a/../../evil", "/etc/evil", "C:/evil", "C:evil", "a\\..\\evil", ".."]


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("name", BAD_NAMES)
def test_paths_that_leave_the_folder(tmp_path: Path, kind: str, name: str):
    archive = write(tmp_path / f"some.{kind}", {"good": b"good", name: b"evil"})
    assert "does not stay in the folder" in refused(archive)


def link(name: str, kind: bytes, target: str = "/etc/passwd") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar(tmp_path: Path, kind: bytes):
    archive = write_tar(tmp_path / "some.tar.gz", {"good": b"good"}, link("bad", kind))
    assert "'bad' is a link or a device" in refused(archive)


def test_link_in_a_zip(tmp_path: Path):
    archive = write_zip(tmp_path / "some.zip", {"bad": b"/etc", "bad/passwd": b"x"}, {"bad": stat.S_IFLNK | 0o777})
    assert "'bad' is a link or a device" in refused(archive)


def test_folder_that_a_file_is_too(tmp_path: Path):
    assert "as a file and as a folder" in refused(write_zip(tmp_path / "a.zip", {"a": b"1", "a/b": b"2"}))
    assert "twice" in refused(write_zip(tmp_path / "b.zip", {"a/b": b"1", "a": b"2"}))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_duplicates(tmp_path: Path, kind: str):
    archive = tmp_path / f"some.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("a", b"1")
            file.writestr("./a", b"2")
    else:
        twice = tarfile.TarInfo("./a")
        write_tar(archive, {"a": b"1"}, twice)
    assert "twice" in refused(archive)


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_bomb_is_refused_unwritten(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch):
    """Ten gigabytes of zeros, of which not one is written."""
    archive, size = tmp_path / f"bomb.{kind}", 10_000_000_000
    if kind == "zip":
        archive.write_bytes(zip_that_claims(size))
    else:
        import gzip

        info = tarfile.TarInfo("zeros")
        info.size = size
        with gzip.open(archive, "wb") as file:
            file.write(info.tobuf() + bytes(1 << 20))
    written: list[int] = []
    assert "holds more than the 1.1 GB that it may" in refused(archive, report=written.append)
    assert not written


def zip_that_claims(size: int) -> bytes:
    """Return a zip with one small member whose directory says that it is of another size."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        info = zipfile.ZipInfo("zeros")
        file.writestr(info, bytes(1 << 20), zipfile.ZIP_DEFLATED)
        file.getinfo("zeros").file_size = size
    return buffer.getvalue()


def test_bomb_that_claims_to_be_small(tmp_path: Path):
    """A zip that says 1000 bytes and holds a million: what is written stops at what it says."""
    archive = tmp_path / "bomb.zip"
    archive.write_bytes(zip_that_claims(1000))
    written: list[int] = []
    refused(archive, report=written.append)
    assert sum(written) <= 1000


def test_many_small_files_are_a_bomb_too(tmp_path: Path):
    archive = write_zip(tmp_path / "some.zip", {str(number): bytes(1000) for number in range(20)})
    assert "holds more than the 15.0 kB that it may" in refused(archive, limit=15_000)


def test_free_space_is_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    archive = write_zip(tmp_path / "some.zip", FILES)
    usage = archives.shutil._ntuple_diskusage(10_000, 9_000, 1_000)  # type: ignore[attr-defined]
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage)
    assert "holds more than the 1.0 kB that are free" in refused(archive)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
def test_damaged_archives(tmp_path: Path, kind: str, damage: str, random_bytes: Callable[[int], bytes]):
    archive = write(tmp_path / f"some.{kind}", {"a.bin": random_bytes(50_000), "b.bin": random_bytes(60_000)})
    content = bytearray(archive.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flipped" and kind == "tar":
        content[512 + 50_176 + 100] ^= 1  # the header of the second member; there is no checksum of contents
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
    else:
        content = bytearray(b"" if damage == "empty" else b"<html>please log in</html>" * 100)
    archive.write_bytes(content)
    assert ": is damaged or no archive" in refused(archive)


def test_tar_cut_between_two_members(tmp_path: Path):
    archive = write_tar(tmp_path / "some.tar", {"a": bytes(1000), "b": bytes(1000)})
    os.truncate(archive, 512 + 1024)
    assert ": is damaged or no archive" in refused(archive)


def test_number_of_files_is_checked_before_anything_moves(tmp_path: Path):
    archive = write_zip(tmp_path / "some.zip", FILES)
    assert "holds 2 files in photos, expected 3" in refused(archive, yields={"photos": 3})


def test_encrypted_member(tmp_path: Path):
    archive = write_zip(tmp_path / "some.zip", {"a": b"secret"})
    content = bytearray(archive.read_bytes())
    for place in (6, content.index(b"PK\x01\x02") + 8):
        content[place] |= 1
    archive.write_bytes(content)
    assert "encrypted" in refused(archive)


def test_what_a_killed_process_left_is_replaced(tmp_path: Path):
    left = tmp_path / "into" / ".some.zip.partial"
    left.mkdir(parents=True)
    (left / "a").write_bytes(b"half")
    unpack(write_zip(tmp_path / "some.zip", FILES), tmp_path / "into")
    assert contents(tmp_path / "into") == FILES


def test_members_are_counted(tmp_path: Path):
    archive = write_zip(tmp_path / "photos.zip", FILES)
    assert (count_members(archive, "photos"), count_members(archive, "photo")) == (2, 0)
    os.truncate(archive, 10)
    with pytest.raises(UserError, match=": is damaged"):
        count_members(archive, "photos")
