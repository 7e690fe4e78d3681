"""Unpack untrusted archives: check every member, and write nothing outside of the target folder.

All files are written into a temporary folder, hashed on the way, and moved into place at the end.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from rich.filesize import decimal

from vclr.errors import UserError

MAX_MEMBERS = 5_000_000
CHUNK = 1 << 20
# Limits for archives of unknown content: the compression ratio of text, and the bytes that any archive may contain.
MAX_GROWTH = 100
ALWAYS_ALLOWED = 1 << 30
NO_ARCHIVE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error)
DAMAGE = (*NO_ARCHIVE, EOFError, NotImplementedError, RuntimeError, UnicodeError, ValueError)


def unpack(
    archive: Path,
    folder: Path,
    limit: int | None = None,
    yields: Mapping[str, int] | None = None,
    strip: Sequence[str] = (),
    report: Callable[[int], None] = lambda num_bytes: None,
) -> dict[str, dict[str, Any]]:
    """Unpack a zip or tar archive into a folder; files of the same names there are replaced, others stay.

    Members must be regular files and folders with paths below the folder. An archive with any other member is refused,
    and so is one that is damaged or too large. Modes, owners and times in the archive are ignored.

    Args:
        archive: the file, which is kept.
        folder: the target folder, which need not exist.
        limit: maximum number of bytes, declared and unpacked; by default 100 times the archive's size, at least 1 GiB.
            The free space is a limit too.
        yields: path in the folder -> number of files that it must contain; 1 for a file.
        strip: if all members are in a folder with one of these names, its contents are unpacked without it.
        report: called with the number of bytes just written.

    Returns:
        `{"bytes": ..., "sha256": ...}` of each file by its path in the folder.

    Raises:
        UserError: the archive is refused; nothing of it is in the folder.
    """
    size = archive.stat().st_size
    allowed = max(ALWAYS_ALLOWED, MAX_GROWTH * size) if limit is None else limit
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{archive.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        with _as_user_error(archive):
            writer = _Writer(archive, partial, allowed, shutil.disk_usage(folder).free, report)
            write_members = _unpack_zip if archive.suffix.lower() == ".zip" else _unpack_tar
            write_members(archive, writer)
        top = _strip_top(list(writer.entries), strip)
        entries = {path.removeprefix(top): entry for path, entry in writer.entries.items()}
        _check_yields(archive, entries, yields or {})
        _move(partial / top if top else partial, folder)
        return entries
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def count_members(archive: Path, folder: str) -> int:
    """Return how many files a zip archive has in one of its folders."""
    with _as_user_error(archive), zipfile.ZipFile(archive) as file:
        return sum(info.filename.startswith(f"{folder}/") and not info.is_dir() for info in file.infolist())


class _Writer:
    """Writes members below a folder, and refuses members that do not belong there."""

    def __init__(self, archive: Path, folder: Path, limit: int, free: int, report: Callable[[int], None]) -> None:
        self.archive, self.folder, self.limit, self.free, self.report = archive, folder, limit, free, report
        self.entries: dict[str, dict[str, Any]] = {}
        self.folders: set[str] = {""}
        self.declared = self.written = 0

    def check(self, name: str, declared: int) -> str:
        """Check the name and the size of a file before it is written, and return its path below the folder."""
        path = self._path(name)
        if path in self.entries or path in self.folders:
            raise UserError(f"{self.archive}: contains {name!r} twice")
        parents = [str(parent) for parent in PurePosixPath(path).parents]
        for parent in parents:
            if parent in self.entries:
                raise UserError(f"{self.archive}: contains {parent!r} as a file and as a folder")
        self.folders.update(parents)
        self.declared += declared
        self._check_size(self.declared)
        self.entries[path] = {}
        if len(self.entries) > MAX_MEMBERS:
            raise UserError(f"{self.archive}: holds more than {MAX_MEMBERS} files")
        return path

    def check_folder(self, name: str) -> None:
        if name.strip("/") not in ("", "."):
            path = self._path(name.rstrip("/"))
            if path in self.entries:
                raise UserError(f"{self.archive}: contains {path!r} as a file and as a folder")
            self.folders.add(path)

    def write(self, path: str, source: IO[bytes], declared: int) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        with target.open("xb") as file:
            while data := source.read(CHUNK):
                size += len(data)
                self.written += len(data)
                self._check_size(self.written)
                if size > declared:
                    break
                file.write(data)
                digest.update(data)
                self.report(len(data))
        if size != declared:
            raise UserError(f"{self.archive}: {path!r} has another size than the archive says")
        self.entries[path] = {"bytes": size, "sha256": digest.hexdigest()}

    def _path(self, name: str) -> str:
        parts = name.split("/")
        leaves = ".." in parts or name.startswith("/") or re.match("[A-Za-z]:", name) is not None
        path = str(PurePosixPath(name))
        if leaves or "\\" in name or "\0" in name or path == "." or name.endswith("/"):
            says = f"the member {name[:200]!r} does not stay in the folder; nothing is unpacked"
            raise UserError(f"{self.archive}: {says}")
        return path

    def _check_size(self, size: int) -> None:
        for limit, what in ((self.limit, "it may"), (self.free, "are free")):
            if size > limit:
                says = f"holds more than the {decimal(limit)} that {what}; nothing is unpacked"
                raise UserError(f"{self.archive}: {says}")


def _unpack_zip(archive: Path, writer: _Writer) -> None:
    """Check all members before the first one is written."""
    with zipfile.ZipFile(archive) as file:
        wanted = []
        for info in file.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise UserError(f"{archive}: the member {info.filename!r} is a link or a device; nothing is unpacked")
            if "\0" in info.orig_filename:
                raise UserError(f"{archive}: the member {info.orig_filename!r} has no usable name")
            if info.flag_bits & 1:
                raise UserError(f"{archive}: the member {info.filename!r} is encrypted")
            if info.is_dir():
                writer.check_folder(info.filename)
            else:
                wanted.append((writer.check(info.filename, info.file_size), info))
        for path, info in wanted:
            with file.open(info) as source:
                writer.write(path, source, info.file_size)


class _Member(tarfile.TarInfo):
    """A member that raises an error for a damaged header, which tarfile takes for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _Member:
        try:
            return super().fromtarfile(tarfile_)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError, tarfile.EmptyHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(str(error)) from None


def _unpack_tar(archive: Path, writer: _Writer) -> None:
    """Check and write the members one by one, so that a compressed archive is read only once."""
    with tarfile.open(archive, "r:*", tarinfo=_Member) as file:
        for member in file:
            if member.isdir():
                writer.check_folder(member.name)
            elif member.isreg():
                path = writer.check(member.name, member.size)
                source = file.extractfile(member)
                assert source is not None
                writer.write(path, source, member.size)
            else:
                raise UserError(f"{archive}: the member {member.name!r} is a link or a device; nothing is unpacked")
            file.members = []  # type: ignore[attr-defined]  # tarfile keeps all that it has seen
        rest = 0
        while data := file.fileobj.read(CHUNK):  # type: ignore[union-attr]  # to the checksum of a compressed archive
            rest += len(data)
            if rest > ALWAYS_ALLOWED or data.strip(b"\0"):
                raise UserError(f"{archive}: contains data after its end")


@contextmanager
def _as_user_error(archive: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        raise UserError(f"{archive}: is damaged or no archive: {' '.join(str(error).split())}") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise UserError(f"{archive}: is damaged or no archive: {error}") from None  # gzip and bz2 raise these


def _strip_top(paths: Sequence[str], names: Sequence[str]) -> str:
    """Return the folders that all paths share, down to the first one with one of the names, with a final slash."""
    if not paths or not names:
        return ""
    shared = os.path.commonpath([str(PurePosixPath(path).parent) for path in paths]).split("/")
    place = next((place for place, part in enumerate(shared) if part in names), None)
    return "" if place is None else "/".join(shared[: place + 1]) + "/"


def _check_yields(archive: Path, entries: Mapping[str, Any], yields: Mapping[str, int]) -> None:
    for path, expected in yields.items():
        count = sum(entry == path or entry.startswith(f"{path}/") for entry in entries)
        if count != expected:
            raise UserError(f"{archive}: holds {count} files in {path}, expected {expected}; nothing is unpacked")


def _move(source: Path, target: Path) -> None:
    """Move the contents of a folder into another one, and merge folders that both have."""
    for entry in sorted(source.iterdir()):
        place = target / entry.name
        if place.is_dir() and entry.is_dir():
            _move(entry, place)
        else:
            os.replace(entry, place)
