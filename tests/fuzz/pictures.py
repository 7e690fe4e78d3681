"""Pictures: odd modes, depths, suffixes and sizes, several in one file, turned, damaged; as photos and as views."""

from __future__ import annotations

import io
import json
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.fuzz.judge import Trial
from tests.fuzz.loading import check_photos, check_picture, load_training
from tests.fuzz.odd import damage
from tests.fuzz.sound import HEIGHT, WIDTH, coco, photo, write_json

# The bytes of a picture, and what it shows, (h, w) or (h, w, 3); None where nobody can say.
Picture = tuple[bytes, np.ndarray | None]


def _save(image: Image.Image, kind: str, **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def _gray() -> np.ndarray:
    return photo()[..., 0]


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _png(width: int, height: int, depth: int, color: int, rows: bytes, *extra: bytes) -> bytes:
    """Return a PNG whose header says what it says, whatever is in it."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    data = _chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + data + _chunk(b"IEND", b"")


def _of_mode(mode: str, kind: str) -> Picture:
    image = Image.fromarray(photo()).convert(mode)
    truth = np.asarray(image.convert("RGB")) if mode != "1" else np.asarray(image).astype(np.uint8)
    return _save(image, kind), truth


def _of_16_bits(kind: str, dtype: str) -> Picture:
    values = (_gray().astype(np.uint16) * 150).astype(dtype)
    return _save(Image.fromarray(values), kind), values


def _of_floats() -> Picture:
    values = _gray().astype(np.float32) / 255
    return _save(Image.fromarray(values), "TIFF"), values


def _of_16_bit_colors() -> Picture:
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in photo().astype(np.uint16) * 257)
    return _png(WIDTH, HEIGHT, 16, 2, rows), photo()


def _of_few_bits(depth: int) -> Picture:
    values = _gray() >> (8 - depth)
    bits = np.unpackbits(values[..., None], axis=-1)[..., 8 - depth :].reshape(HEIGHT, -1)
    rows = b"".join(b"\x00" + np.packbits(row).tobytes() for row in bits)
    return _png(WIDTH, HEIGHT, depth, 0, rows), values


def _huge(width: int, height: int) -> Picture:
    """Return a picture that says it is huge and holds next to nothing."""
    return _png(width, height, 8, 2, b"\x00" * 1000), None


def _bomb() -> Picture:
    return _png(20_000, 20_000, 1, 0, b"\x00" * (2501 * 20_000)), None


def _animated(kind: str) -> Picture:
    frames = [Image.fromarray(photo(number)) for number in range(3)]
    return _save(frames[0], kind, save_all=True, append_images=frames[1:]), photo()


def _turned(orientation: int, kind: str) -> Picture:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _save(Image.fromarray(photo()), kind, exif=exif), photo() if orientation in (0, 1, 9, 77) else None


def _with_exif(exif: bytes) -> Picture:
    return _save(Image.fromarray(photo()), "JPEG", exif=b"Exif\x00\x00" + exif, quality=95), photo()


def _with_profile(profile: bytes) -> Picture:
    return _save(Image.fromarray(photo()), "PNG", icc_profile=profile), photo()


def _with_text(size: int) -> Picture:
    text = _chunk(b"zTXt", b"a\x00\x00" + zlib.compress(b"x" * size))
    rows = b"".join(b"\x00" + row.tobytes() for row in photo())
    return _png(WIDTH, HEIGHT, 8, 2, rows, text), photo()


def _of_size(width: int, height: int) -> Picture:
    return _save(Image.new("RGB", (width, height)), "PNG"), None


def _as_it_is(data: bytes) -> Callable[[], Picture]:
    return lambda: (data, None)


TOO_MANY = b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\xff\xff\xff\xff" + bytes(8)  # values of one orientation
PICTURES: list[Callable[[], Picture]] = [
    *(lambda mode=mode: _of_mode(mode, "PNG") for mode in ("1", "L", "P", "RGB", "RGBA", "LA")),
    *(lambda mode=mode: _of_mode(mode, "TIFF") for mode in ("L", "RGB", "CMYK", "YCbCr", "LAB")),
    *(lambda mode=mode: _of_mode(mode, "JPEG") for mode in ("L", "RGB", "CMYK")),
    *(lambda mode=mode: _of_mode(mode, "BMP") for mode in ("1", "L", "P", "RGB")),
    *(lambda kind=kind: _of_mode("RGB", kind) for kind in ("WEBP", "GIF", "PPM", "TGA", "ICO", "JPEG2000", "PCX",
    "SGI")),
    lambda: _of_16_bits("PNG", "uint16"), lambda: _of_16_bits("TIFF", "uint16"), lambda: _of_16_bits("TIFF", "int32"),
    _of_floats, _of_16_bit_colors,
    *(lambda depth=depth: _of_few_bits(depth) for depth in (1, 2, 4)),
    lambda: _huge(60_000, 60_000), lambda: _huge(2**31 - 1, 2**31 - 1), lambda: _huge(0, 0), lambda: _huge(WIDTH,
    HEIGHT),
    lambda: _huge(12_000, 12_000), _bomb,
    *(lambda kind=kind: _animated(kind) for kind in ("PNG", "WEBP", "TIFF", "GIF", "MPO")),
    *(lambda turn=turn, kind=kind: _turned(turn, kind) for turn in (0, 2, 3, 6, 9, 77) for kind in ("JPEG", "PNG")),
    *(lambda exif=exif: _with_exif(exif) for exif in (b"", b"junk", b"MM\x00*\x00\x00\xff\xff",
    b"II*\x00\x08\x00\x00\x00\xff\xff")),
    lambda: _with_exif(b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x02\x00\x04\x00\x00\x00abc\x00\x00\x00\x00\x00"),
    lambda: _with_exif(TOO_MANY),
    lambda: _with_profile(b"junk"), lambda: _with_text(200), lambda: _with_text(200_000_000),
    *(lambda size=size: _of_size(*size) for size in ((1, 1), (WIDTH, HEIGHT + 1), (HEIGHT, WIDTH), (5000, 1), (1,
    5000))),
    *map(_as_it_is, (b"", b"\x00", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"GIF89a", b"BM", b"RIFF")),
    *map(_as_it_is, (b"<svg xmlns='http://www.w3.org/2000/svg' width='60' height='40'/>",
    b"%!PS-Adobe-3.0 EPSF-3.0\n", b"P6 60 40 255\n")),
    *map(_as_it_is, (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", b"<html>404</html>",
    b"P5 0 0 255\n")),
    *map(_as_it_is, (b"II*\x00\x08\x00\x00\x00", b"\x00\x00\x01\x00\x01\x00", b"8BPS\x00\x01",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n")),
]  # fmt: skip
DAMAGED = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "GIF", "JPEG2000", "PPM")


def make(number: int, folder: Path) -> list[Trial]:
    """Write a picture in the place of a photo or of its view, and return the commands that look at it."""
    chance = random.Random(f"picture {number}")
    if number < 2 * len(PICTURES):
        data, truth = PICTURES[number // 2]()
    else:
        image = Image.fromarray(photo())
        data, truth = damage(_save(image, DAMAGED[number % len(DAMAGED)]), chance), None
    suffix = chance.choice([".png", ".jpg", ".jpeg", ".bmp", ".webp", ".PNG", ".tif"])
    content = coco()
    name = "hostile" + suffix
    content["images"][0]["file_name"] = name
    annotations = write_json(folder / "named.json", content)
    (folder / "images/a.png").unlink()
    views: dict[str, Path] = {}
    if number % 2 == 0 or number >= 2 * len(PICTURES):
        (folder / "images" / name).write_bytes(data)
        truths = {} if truth is None else {1: truth}
    else:  # the photo is sound, its depth map hostile
        Image.fromarray(photo()).convert("RGB").save(folder / "images" / name, "PNG")
        views = {"depth": folder / "depth"}
        for entry in content["images"]:
            path = (folder / "depth" / entry["file_name"]).with_suffix(".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo(5)).save(path)
        (folder / "depth/hostile.png").write_bytes(data)
        truths = {}
    return _trials(number, folder, annotations, name, views, truths, truth)


def _trials(
    number: int,
    folder: Path,
    annotations: Path,
    name: str,
    views: dict[str, Path],
    truths: dict,
    truth: np.ndarray | None,
) -> list[Trial]:
    out, names = folder / "out", (Path(name).stem,)
    # A folder that holds no photo with a suffix of a picture is named itself.
    lists = (*names, str(folder / "images"))

    def check_loaded(loaded: Any) -> None:
        check_photos(loaded, truths)
        for image_id, sample in loaded:
            if views and image_id == 1 and truth is not None and sample.view == "depth":
                check_picture(sample.image.numpy().transpose(1, 2, 0), truth)

    doctor = ["doctor", "data", "--annotations", str(annotations), "--images", str(folder / "images"), "--workers", "1"]
    doctor += ["--quiet", "--output", str(out / "doctor.json"), *(f"--view=depth={path}" for path in views.values())]
    trials = [
        Trial(load_training(folder, annotations, **views), names, (out,), check_loaded),
        Trial(doctor, names, (out,), None, reports=True),
    ]
    if not views:
        images, checkpoint = str(folder / "images"), str(folder / "checkpoint/sound.pt")
        picture = str(folder / "images" / name)
        verbs = [
            Trial(["predict", picture, "--checkpoint", checkpoint, "--output", str(out), "--device", "cpu"], names,
            (out,)),
            Trial(["views", "--view", "edge", "--images", images, "--output", str(out / "v"), "--quiet"], lists,
            (out,)),
            Trial(["proposals", "--images", images, "--output", str(out / "p.json"), "--quiet"], lists, (out,)),
            Trial(
                ["split", "one_class", "--annotations", str(annotations), "--output", str(out / "s.json"), "--images",
                images,
                 "--train", str(annotations), "--train-images", images, "--quiet"], lists, (out,),
                 lambda _: _find_leaks(out),
            ),
        ]  # fmt: skip
        trials.append(verbs[number // 2 % len(verbs)])
    return trials


def _find_leaks(out: Path) -> None:
    leaks = json.loads((out / "s.record.json").read_text())["leaks"]
    assert leaks["leaked_images"] == leaks["evaluation"]["images"], "a set does not hold itself"
