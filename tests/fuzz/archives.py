"""Packed folders: zips of odd methods, names and sizes, encrypted, damaged, in the place of a folder of photos."""

from __future__ import annotations

import io
import random
import shutil
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz.judge import Trial
from tests.fuzz.loading import check_photos, load_training
from tests.fuzz.odd import damage
from tests.fuzz.sound import PHOTOS, photo

Files = dict[str, bytes]
CENTRAL, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"


def _pack(files: Files, method: int = zipfile.ZIP_STORED, prefix: str = "", comment: bytes = b"") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as packed:
        for name, content in files.items():
            packed.writestr(prefix + name, content)
        packed.comment = comment
    return data.getvalue()


def _with_more(files: Files, *names: str) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two files of one name, which is the end of some names
        return _pack({**files, **dict.fromkeys(names, b"more")})


def _twice(files: Files) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as packed, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, content in [*files.items(), ("a.png", files["c.png"]), ("sub/b.jpg", b"")]:
            packed.writestr(name, content)
    return data.getvalue()


def _with_no_photo_by_its_own_name(files: Files) -> bytes:
    """Pack photos under names that look like theirs."""
    return _pack({f"{name} ": data for name, data in files.items()} | {"a.png.": files["a.png"]})


def _code_page(files: Files) -> bytes:
    """Pack names of bytes that are no UTF-8, and do not say so, as old programs of Windows do."""
    return _with_more(files, "XYZW.png").replace(b"XYZW", b"\xe9\x81\xff\x80")


PREFIXES = [
    "x" * 200 + "/",
    "\u00e9/",
    "e\u0301/",
    " /",
    "././",
    "a//",
    "images/../",
    "con/",
    "\x01/",
    "\u202e/",
    "..a/",
]
PREFIXES += [
    ".../",
    "~/",
    "%2e%2e/",
    "__MACOSX/",
    "a\\b\\",
    "\\\\host\\share\\",
    "file://",
    "images.zip/",
    "\U0001f600/",
]
NAMES = [" ", "/", "//", "a.png ", "a.png.", "./a.png", ".//a.png", "images/../a.png", "sub/./b.jpg", "sub//b.jpg"]
NAMES += [
    "%61.png",
    "a%2Epng",
    "a.png\x00.jpg",
    "a\x00.png",
    "a.png\n",
    "\ta.png",
    "CON.png",
    "c:a.png",
    "-rf.png",
    "*.png",
]
NAMES += [
    "\uff41.png",
    "\u0430.png",
    "a.png\u200b",
    "x" * 60_000,
    "/".join("d" * 300),
    "sub/b.jpg/",
    "a.JPG",
    "a.png:s",
]


def _patch(data: bytes, signature: bytes, offset: int, value: int, form: str, number: int = 0) -> bytes:
    """Change a field of the `number`-th header of a kind."""
    place = -1
    for _ in range(number + 1):
        place = data.index(signature, place + 1)
    start = place + offset
    size = struct.calcsize(form)
    return data[:start] + struct.pack(form, value) + data[start + size :]


def _zip64(files: Files) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as packed:
        for name, content in files.items():
            with packed.open(name, "w", force_zip64=True) as member:
                member.write(content)
    return data.getvalue()


def _streamed(files: Files) -> bytes:
    """Return a zip as a program writes it that cannot seek: sizes stand behind the files."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, block: Any) -> int:
            self.data += bytes(block)
            return len(block)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as packed:  # type: ignore[arg-type]
        for name, content in files.items():
            packed.writestr(name, content)
    return pipe.data


# The sizes, checksum, offset, method and flags of a member, as the table of contents says them.
FIELDS = {"flags": (8, "<H"), "method": (10, "<H"), "crc": (16, "<I"), "packed": (20, "<I"), "size": (24, "<I")}
FIELDS |= {"name": (28, "<H"), "extra": (30, "<H"), "comment": (32, "<H"), "disk": (34, "<H"), "offset": (42, "<I")}
VALUES = [0, 1, 8, 9, 14, 95, 99, 0x0800, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1]


def _field(chance: random.Random) -> Callable[[Files], bytes]:
    offset, form = FIELDS[chance.choice(list(FIELDS))]
    limit = 2 ** (8 * struct.calcsize(form))
    value, number = chance.choice([value for value in VALUES if value < limit]), chance.randrange(3)
    return lambda files: _patch(_pack(files, chance.choice([0, 8])), CENTRAL, offset, value, form, number)


WAYS: list[Callable[[Files], bytes]] = [
    _pack, lambda files: _pack(files, zipfile.ZIP_DEFLATED), lambda files: _pack(files, zipfile.ZIP_BZIP2),
    lambda files: _pack(files, zipfile.ZIP_LZMA), lambda files: _pack(files, prefix="images/"),
    lambda files: _pack(files, prefix="a/b/"), lambda files: _pack(files, prefix="/"),
    lambda files: _pack(files, prefix="../"), lambda files: _pack(files, prefix="./"),
    lambda files: _pack(files, prefix="C:\\"), lambda files: _pack(files, comment=b"x" * 60_000),
    lambda files: _pack({}), _twice, _zip64, _streamed,
    lambda files: _with_more(files, "../beside/secret.png", "/etc/passwd", "..\\x", "~"),
    lambda files: _with_more(files, ".", "..", "a.png/", "sub", "a.png/x.png"),
    lambda files: _with_more(files, "\u00e9.png", "e\u0301.png", "x" * 5000, "\u202e.png", "line\nbreak.png"),
    lambda files: _with_more(files, "A.PNG", "a.PNG", "sub\\b.jpg", "__MACOSX/._a.png", ".DS_Store"),
    lambda files: _pack({"A.png": files["a.png"], "SUB/b.jpg": files["sub/b.jpg"], "C.png": files["c.png"]}),
    lambda files: _pack({name.replace("/", "\\"): data for name, data in files.items()}),
    lambda files: _pack({"b.jpg": files["sub/b.jpg"], **files}),
    lambda files: _pack({name: data for name, data in files.items() if name != "a.png"}),
    lambda files: _pack({**files, "a.png": b""}), lambda files: _pack({**files, "manifest.json": b"["}),
    lambda files: _pack({**files, "manifest.json": b'{"source": 1}'}),
    lambda files: _pack({**files, "zeros.png": bytes(200_000_000)}, zipfile.ZIP_DEFLATED),
    lambda files: b"junk" * 100 + _pack(files), lambda files: _pack(files)[4:], lambda files: _pack(files) * 2,
    lambda files: _pack({"inner.zip": _pack(files)}), lambda files: b"\x1f\x8b\x08" + _pack(files),
    lambda files: b"Rar!\x1a\x07\x00", lambda files: b"7z\xbc\xaf\x27\x1c", lambda files: b"", lambda files: END,
    lambda files: _patch(_pack(files), END, 16, 2**32 - 1, "<I"), lambda files: _patch(_pack(files), END, 10, 9, "<H"),
    lambda files: _patch(_pack(files), END, 4, 1, "<H"), lambda files: _patch(_pack(files), LOCAL, 26, 60_000, "<H"),
    lambda files: _patch(_pack(files), LOCAL, 0, 0, "<I"), lambda files: _patch(_pack(files), LOCAL, 8, 8, "<H"),
    *(lambda files, prefix=prefix: _pack(files, prefix=prefix) for prefix in PREFIXES),
    *(lambda files, name=name: _with_more(files, name) for name in NAMES), _with_no_photo_by_its_own_name, _code_page,
    lambda files: _patch(_pack(files), CENTRAL, 8, 1, "<H"), lambda files: _patch(_pack(files), CENTRAL, 38,
    0xA1FF0000, "<I"),
]  # fmt: skip


def make(number: int, folder: Path) -> list[Trial]:
    """Pack the photos in a hostile way, and return the commands that read the zip in the folder's place."""
    chance = random.Random(f"archive {number}")
    files = {name: (folder / "images" / name).read_bytes() for name in PHOTOS}
    shutil.rmtree(folder / "images")
    if number < len(WAYS):
        data = WAYS[number](files)
    elif number % 2:
        data = damage(_pack(files, chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])), chance)
    else:
        data = _field(chance)(files)
    (folder / "images.zip").write_bytes(data)
    out, annotations = folder / "out", folder / "sound.json"
    # A photo that is not in the zip is an error of the json that names it.
    names = ("images.zip", "sound.json", f"{folder}/images/")
    images = str(folder / "images")
    truths = {number: photo(number - 1) for number in (1, 2, 3)}

    def check(loaded: Any) -> None:
        if WAYS.index(_twice) != number:  # which of two photos of one name is meant, nobody can say
            check_photos(loaded, truths)

    doctor = ["doctor", "data", "--annotations", str(annotations), "--images", images, "--workers", "1", "--quiet"]
    verbs = [
        Trial([*doctor, "--output", str(out / "d.json")], names, (out,), None, reports=True),
        Trial(["views", "--view", "edge", "--images", images, "--output", str(out / "v"), "--quiet"], names, (out,)),
        Trial(["proposals", "--images", images, "--output", str(out / "p.json"), "--quiet"], names, (out,)),
    ]
    return [Trial(load_training(folder, annotations), names, (out,), check), verbs[number % 3]]
