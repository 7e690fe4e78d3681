"""Files that would take hours or gigabytes are refused at once; unusual ones that would not are read."""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.png_files import chunk
from vclr.errors import UserError
from vclr.picture_limits import MAX_HELD, MAX_METADATA, MAX_NUMBERS, MAX_PARTS, MAX_SCANS
from vclr.pictures import open_image, read_image_header

NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)  # type: ignore[arg-type]
    return data.getvalue()


PHOTO = Image.fromarray(NOISE)
JPEG = encode(PHOTO, "JPEG")
PNG = encode(PHOTO, "PNG")


def repeat_last_scan(jpeg: bytes, times: int) -> bytes:
    """Return a JPEG that draws its last scan again and again."""
    start = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[start:-2] * times + b"\xff\xd9"


def write_tiff(more: bytes, *entries: tuple[int, int, int, int]) -> bytes:
    """Return a TIFF of one gray pixel with further tags, which may point into `more`, at byte 8."""
    tags = {256: (3, 1, 1), 257: (3, 1, 1), 258: (3, 1, 8), 262: (3, 1, 1), 273: (4, 1, 0), 279: (4, 1, 1)}
    tags |= {tag: rest for tag, *rest in entries}  # type: ignore[misc]
    packed = b"".join(struct.pack("<HHLL", tag, *rest) for tag, rest in sorted(tags.items()))
    return struct.pack("<2sHL", b"II", 42, 8 + len(more)) + more + struct.pack("<H", len(tags)) + packed + bytes(4)


def many_rationals() -> bytes:
    """Return a TIFF whose EXIF data, which Pillow unpacks with the pixels, hold many fractions."""
    number = MAX_NUMBERS + 1
    exif = struct.pack("<HHHLL", 1, 37386, 5, number, 8 + 18) + bytes(4)
    return write_tiff(exif + bytes(8 * number), (34665, 4, 1, 8))


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "scans of a progressive JPEG": (
        lambda: repeat_last_scan(encode(PHOTO, "JPEG", progressive=True), MAX_SCANS),
        f"has more than {MAX_SCANS} scans",
    ),
    "scans of an MPO": (
        lambda: repeat_last_scan(encode(PHOTO, "JPEG", progressive=True), MAX_SCANS) + JPEG,
        f"has more than {MAX_SCANS} scans",
    ),
    # Pillow joins these by copying what it has, again and again.
    "EXIF segments": (lambda: JPEG[:2] + b"\xff\xe1\0\x09Exif\0\0a" * (MAX_PARTS + 1) + JPEG[2:], "pieces of metadata"),
    "bytes in segments": (
        lambda: JPEG[:2] + (b"\xff\xe9\xff\xff" + bytes(65533)) * (MAX_METADATA // 65533 + 1) + JPEG[2:],
        "pieces of metadata|MiB of metadata",
    ),
    "color profiles": (lambda: PNG[:33] + chunk(b"iCCP", b"a\0\0") * (MAX_PARTS + 1) + PNG[33:], "pieces of metadata"),
    "late chunks": (lambda: PNG[:-12] + chunk(b"tEXt", b"a\0b") * (MAX_PARTS + 1) + PNG[-12:], "pieces of metadata"),
    "bytes in a chunk": (lambda: PNG[:33] + chunk(b"caBX", bytes(MAX_METADATA + 1)) + PNG[33:], "64 MiB of metadata"),
    "strips": (lambda: write_tiff(bytes(4 * (MAX_NUMBERS + 1)), (273, 4, MAX_NUMBERS + 1, 8)), "numbers, or 4096 tags"),
    "fractions": (many_rationals, "numbers, or 4096 tags"),
    "tags": (lambda: write_tiff(b"", *((tag, 3, 1, 0) for tag in range(1000, 5100))), "numbers, or 4096 tags"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_excess_is_refused_at_once(tmp_path: Path, name: str):
    make, says = HOSTILE[name]
    data = make()
    (tmp_path / "a").write_bytes(data)
    for source in ((tmp_path / "a",), ("a", data)):
        start = time.perf_counter()
        with pytest.raises(UserError, match=says) as caught:
            open_image(*source)
        assert time.perf_counter() - start < 1
        assert str(caught.value).startswith(f"{source[0]}: has more than ")


@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "JPEG2000", "GIF"])
def test_large_file_of_a_format_that_is_read_as_a_whole_is_refused(tmp_path: Path, kind: str):
    path = tmp_path / "a"
    path.write_bytes(encode(PHOTO, kind))
    with open(path, "r+b") as file:
        file.truncate(MAX_HELD + 1)  # without taking place on the disk
    with pytest.raises(UserError, match="has more than 256 MiB in a format that is read as a whole; convert it to PNG"):
        read_image_header(path)


def test_large_exif_data_of_a_webp_are_refused():
    data = encode(PHOTO, "WEBP", exif=b"Exif\0\0" + bytes(MAX_METADATA + 1))
    with pytest.raises(UserError, match="a: has more than 64 MiB of metadata"):
        read_image_header("a", data)


def test_layers_of_hundreds_of_megabytes_are_refused(tmp_path: Path):
    data = write_tiff(b"", (37724, 7, MAX_HELD + 1, 200))
    (tmp_path / "a.tif").write_bytes(data)
    with open(tmp_path / "a.tif", "r+b") as file:
        file.truncate(MAX_HELD + 1000)
    with pytest.raises(UserError, match=r"a\.tif: has more than 256 MiB of layers or metadata"):
        open_image(tmp_path / "a.tif")


@pytest.mark.parametrize("content", ["film", "previews", "padding"])
def test_unusual_jpeg_is_read(tmp_path: Path, content: str):
    """What only looks like scans is behind the picture, as a phone's film, or in its metadata."""
    film = b"\xff\xda" * 1000
    data = {
        "film": JPEG + film,
        "previews": JPEG[:2] + b"\xff\xe2" + struct.pack(">H", len(film) + 2) + film + JPEG[2:],
        "padding": JPEG[:2] + b"\xff" * 5000 + JPEG[2:] + film,
    }[content]
    (tmp_path / "a.jpg").write_bytes(data)
    for read in (open_image(tmp_path / "a.jpg"), open_image("a", data)):
        assert np.array_equal(np.asarray(read), np.asarray(open_image("a", JPEG)))


def test_as_many_scans_as_the_limit_are_read():
    data = encode(PHOTO, "JPEG", progressive=True)
    assert open_image("a", repeat_last_scan(data, MAX_SCANS - data.count(b"\xff\xda"))).size == (64, 48)
    with pytest.raises(UserError, match="scans"):
        open_image("a", repeat_last_scan(data, MAX_SCANS - data.count(b"\xff\xda") + 1))


def test_frames_are_no_metadata(tmp_path: Path):
    frames = [Image.new("L", (2, 2), number % 256) for number in range(MAX_PARTS)]
    data = encode(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert read_image_header("a", data).has_frames
    assert np.asarray(open_image("a", data)).max() == 0
