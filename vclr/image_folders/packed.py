"""A folder of images packed in one zip, which is read without unpacking it.

If a zip holds everything in one folder, as published ones do, the content of that folder counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import weakref
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vclr.errors import UserError
from vclr.file_names import NameIndex, file_key, is_mac_metadata, leaves_folder, spellings
from vclr.image_folders.folder import ImageFolder
from vclr.image_folders.patches import Patches
from vclr.pictures import IMAGE_SUFFIXES

LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature; lengths of the name and of the extra field after it
ROOM = 512  # bytes read at once for those two: nearly always enough
ENCRYPTED, UTF_8 = 0x1, 0x800  # bits of a member's flags
UNREADABLE = 255  # method of a member that is neither stored nor deflated


class PackedFolder(ImageFolder):
    """A zip that stands for a folder.

    Reading a file costs one read at a known offset. The table of contents is a few arrays that are never written to, so
    forked workers share it; files are read with `pread`, so threads and forked processes share the open zip too. After
    unpickling, the zip is opened again.
    """

    def __init__(self, path: Path) -> None:
        """Read the table of contents.

        Raises:
            UserError: the file cannot be read, or is not a complete zip.
        """
        self.path = path
        self.patches = Patches()
        members = _read_contents(path)
        folders = {name.partition("/")[0] if "/" in name else "" for name in members}
        self._top = f"{folders.pop()}/" if len(folders) == 1 and "" not in folders else ""
        names = sorted(members)
        infos = [members[name] for name in names]
        # UTF-8 sorts as its characters do. The longest name gives the width of all.
        self._names = np.array([_encode(name) for name in names], dtype=np.bytes_)
        self._offsets = np.array([info.header_offset for info in infos], dtype=np.int64)
        self._packed_sizes = np.array([info.compress_size for info in infos], dtype=np.int64)
        self._sizes = np.array([info.file_size for info in infos], dtype=np.int64)
        self._checksums = np.array([info.CRC for info in infos], dtype=np.uint32)
        self._methods = np.array([_method(info) for info in infos], dtype=np.uint8)
        self._open_file()
        if infos and (self._offsets + self._packed_sizes).max() + LOCAL_HEADER.size > os.fstat(self._file).st_size:
            raise UserError(f"{path}: is not a complete zip: it names files beyond its end")

    def _open_file(self) -> None:
        try:
            self._file = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read: {error.strerror}") from None
        weakref.finalize(self, os.close, self._file)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_file"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open_file()

    def __len__(self) -> int:
        return len(self._names)

    def find(self, name: str) -> str | None:
        place = self._find(name)
        return None if place is None else self._names[place].decode("utf-8").removeprefix(self._top)

    def index(self, used: Collection[str] = ()) -> NameIndex:
        return NameIndex(name for name in self.names() if file_key(name) not in used)

    def names(self) -> list[str]:
        """List all files, including those in subfolders, sorted, with slashes between folders."""
        return [name.decode("utf-8").removeprefix(self._top) for name in self._names.tolist()]

    def images_below(self, below: str) -> list[str]:
        images = (name for name in self.names() if name.lower().endswith(IMAGE_SUFFIXES))
        found = [name for name in images if os.path.dirname(name) == below]
        return found if below else [*found, *self.patches]

    def identity(self, name: str) -> tuple[int, ...] | None:
        place = self._find(name)
        if place is None:
            return None
        facts = os.fstat(self._file)
        return facts.st_dev, facts.st_ino, int(self._offsets[place])

    def size(self, name: str) -> int:
        return int(self._sizes[self._place(name)])

    def read(self, name: str) -> bytes:
        place = self._place(name)
        if self._methods[place] == UNREADABLE:
            says = "is encrypted, or neither stored nor deflated; pack it again with `vclr pack`"
            raise UserError(f"{self.path_of(name)}: {says}")
        size = int(self._sizes[place])
        try:
            data = self._read_packed(int(self._offsets[place]), int(self._packed_sizes[place]))
            if self._methods[place] == zipfile.ZIP_DEFLATED:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, max(1, size))
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{self.path_of(name)}: cannot be read from the zip: {error}") from None
        if len(data) != size or zlib.crc32(data) != self._checksums[place]:
            raise UserError(f"{self.path_of(name)}: is damaged: its checksum differs from the zip's")
        return data

    def hash_contents(self) -> str:
        """Return a sha256 of the names, sizes and CRC-32 of all files, quick and independent of the packing."""
        digest = hashlib.sha256()
        for name, size, checksum in zip(self.names(), self._sizes.tolist(), self._checksums.tolist(), strict=True):
            digest.update(f"{name} {size} {checksum:08x}\n".encode())
        return digest.hexdigest()

    @property
    def num_bytes(self) -> int:
        """Memory of the table of contents in bytes."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, np.ndarray))

    def _find(self, name: str) -> int | None:
        """Return the place of a file in the arrays."""
        name = self.patches.place(name)
        places = (self._find_exactly(form) for form in (PurePosixPath(name).as_posix(), *spellings(name)))
        return next((place for place in places if place is not None), None)

    def _find_exactly(self, name: str) -> int | None:
        for key in {_encode(self._top + name), _encode(name)}:
            if len(key) <= self._names.itemsize:  # a longer key would convert the whole array
                place = int(self._names.searchsorted(key))
                if place < len(self._names) and self._names[place] == key:
                    return place
        return None

    def _place(self, name: str) -> int:
        if (place := self._find(name)) is None:
            raise self.missing(name)
        return place

    def _read_packed(self, offset: int, size: int) -> bytes:
        """Return the bytes of a member, which follow its header."""
        block = _read_at(self._file, LOCAL_HEADER.size + ROOM + size, offset)
        if len(block) < LOCAL_HEADER.size:
            raise EOFError("it is cut off")
        signature, name_length, extra_length = LOCAL_HEADER.unpack_from(block)
        if signature != b"PK\x03\x04":
            raise EOFError("there is no file where the zip says")
        start = LOCAL_HEADER.size + name_length + extra_length
        if start + size > len(block):
            return _read_at(self._file, size, offset + start)
        return block[start : start + size]


def _read_contents(path: Path) -> dict[str, zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as packed:
            infos = packed.infolist()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, EOFError) as error:
        raise UserError(f"{path}: is not a complete zip: {error}") from None
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = _member_name(info)
        if info.is_dir() or name.endswith("/") or is_mac_metadata(name):
            continue
        if leaves_folder(name):
            raise UserError(f"{path}: member {name!r} leaves the folder; pack it again with names below one folder")
        members[name] = info
    return members


def _member_name(info: zipfile.ZipInfo) -> str:
    """Return the name of a member with slashes between folders, decoded as it was packed.

    Some Windows programs pack names with backslashes, and a Mac writes UTF-8 without setting its flag.
    """
    name = info.filename
    if not info.flag_bits & UTF_8 and not name.isascii():
        with contextlib.suppress(UnicodeError):  # it uses another code page
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _method(info: zipfile.ZipInfo) -> int:
    is_known = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) and not info.flag_bits & ENCRYPTED
    return info.compress_type if is_known else UNREADABLE


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _read_at(file: int, size: int, offset: int) -> bytes:
    """Read `size` bytes at `offset`, fewer only at the end of the file; the kernel may return them in parts."""
    data = os.pread(file, size, offset)
    while len(data) < size and (more := os.pread(file, size - len(data), offset + len(data))):
        data += more
    return data
