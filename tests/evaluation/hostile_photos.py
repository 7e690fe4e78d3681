"""Photos as the world has them: one picture in many encodings, and files that are no photos at all."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from vclr.pictures import ORIENTATION

SIZE = (48, 64)  # height, width


def draw_picture() -> np.ndarray:
    """Return a picture with gray steps, which every encoding keeps well."""
    picture = np.full((*SIZE, 3), 60, np.uint8)
    picture[10:30, 8:28] = 200
    picture[20:44, 36:60] = 130
    return picture


def write_same(folder: Path) -> dict[str, float]:
    """Write the picture in every encoding; return the largest error of a pixel that each allows."""
    picture = Image.fromarray(draw_picture())
    gray = np.asarray(picture)[..., 0]
    allowed: dict[str, float] = {}

    def save(name: str, image: Image.Image, error: float = 0, **options: object) -> None:
        path = Path(name)
        name = f"{path.stem}_{path.suffix[1:]}{path.suffix}"  # results are named after the stem
        image.save(folder / name, **options)  # type: ignore[arg-type]
        allowed[name] = error

    save("rgb.png", picture)
    save("gray.png", picture.convert("L"))
    save("palette.png", picture.convert("P", palette=Image.Palette.ADAPTIVE))
    save("palette_with_transparency.png", picture.convert("P", palette=Image.Palette.ADAPTIVE), transparency=255)
    save("opaque.png", picture.convert("RGBA"))
    save("gray_alpha.png", picture.convert("LA"))
    save("gray16.png", Image.fromarray((gray.astype(np.uint16) << 8) | 17))
    save("gray16.tif", Image.fromarray((gray.astype(np.uint16) << 8) | 17))
    save("lossless.webp", picture, lossless=True)
    save("windows.bmp", picture)
    save("lzw.tif", picture, compression="tiff_lzw")
    save("sides.ppm", picture)
    save("jpeg2000.jp2", picture)
    save("baseline.jpg", picture, 12, quality=95, subsampling=0)
    save("progressive.jpg", picture, 12, quality=95, subsampling=0, progressive=True)
    save("gray.jpg", picture.convert("L"), 12, quality=95)
    save("cmyk.jpg", picture.convert("CMYK"), 12, quality=95)
    save("cmyk.tif", picture.convert("CMYK"), 2)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    save("profile.png", picture, icc_profile=profile)
    others = [Image.fromarray(255 - draw_picture())]
    save("frames.webp", picture, lossless=True, save_all=True, append_images=others)
    save("frames.png", picture, save_all=True, append_images=others)
    save("frames.gif", picture.quantize(), 4, save_all=True, append_images=others)
    save("pages.tif", picture, save_all=True, append_images=others)
    save("two\nlines ü \x1b[31m.png", picture)
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # orientation -> Pillow's transposition that it undoes
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        turned = picture if orientation == 1 else picture.transpose(Image.Transpose(turns[orientation]))
        save(f"exif{orientation}.jpg", turned, 12, quality=95, subsampling=0, exif=exif.tobytes())
        save(f"exif{orientation}.png", turned, exif=exif.tobytes())
    (folder / "rgb16_png.png").write_bytes(_png16(draw_picture()))
    allowed["rgb16_png.png"] = 0
    return allowed


def write_odd(folder: Path) -> list[str]:
    """Write photos of odd sizes, which have no objects worth mentioning but must be answered; return their names."""
    names = []
    for width, height in ((1, 1), (1, 5000), (5000, 1), (3, 2), (2000, 7), (4000, 3000)):
        names.append(f"{width}x{height}.png")
        Image.new("1" if width == 4000 else "RGB", (width, height), 1).save(folder / names[-1])
    return names


def write_refused(folder: Path) -> dict[str, str]:
    """Write what is no photo, or one that is not read; return what the line about each says."""
    whole = io.BytesIO()
    Image.fromarray(draw_picture()).save(whole, "PNG")
    jpeg = io.BytesIO()
    Image.effect_noise((64, 48), 80).save(jpeg, "JPEG")
    data = whole.getvalue()
    av1 = io.BytesIO()
    Image.effect_noise((64, 48), 80).save(av1, "AVIF")
    scans = io.BytesIO()
    Image.effect_noise((64, 48), 80).save(scans, "JPEG", progressive=True)
    last_scan = scans.getvalue()[scans.getvalue().rindex(b"\xff\xda") : -2]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("a.txt", "hello")
    is_none = "is not an image"
    contents: dict[str, tuple[bytes, str]] = {
        "empty.jpg": (b"", is_none),
        "text.png": (b"hello, I am a photo", is_none),
        "zip.jpg": (archive.getvalue(), is_none),
        "page.jpg": (b"<!doctype html><title>404</title>", is_none),
        "cut.png": (data[: len(data) // 2], "cannot be read as an image"),
        "half.jpg": (jpeg.getvalue()[: len(jpeg.getvalue()) // 2], "cannot be read as an image"),
        "head.png": (data[:8], "is damaged: it begins like a PNG file"),
        "checksum.png": (data[:60] + bytes([data[60] ^ 255]) + data[61:], "cannot be read as an image"),
        "scans.jpg": (scans.getvalue()[:-2] + last_scan * 9999, "has more than 100 scans"),
        "profiles.jpg": (
            jpeg.getvalue()[:2] + b"\xff\xe1\0\x09Exif\0\0a" * 10**6,
            "has more than 1000 pieces of metadata",
        ),
        "pixels.avif": (av1.getvalue().partition(b"mdat")[0] + b"mdat" + bytes(9999), "cannot be read as an image"),
        "phone.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a picture in the format HEIC, which is not read"),
        "bomb.png": (_bomb(20000), "million pixels, which would take too much memory; make it smaller"),
        "claims.png": (_png(struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0), b""), "million pixels"),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    Image.fromarray(np.zeros(SIZE, np.float32)).save(folder / "floats.tif")
    Image.new("RGBA", (9, 9)).save(folder / "nothing.png")
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    (folder / "nowhere.jpg").symlink_to(folder / "absent")
    return {name: says for name, (_, says) in contents.items()} | {
        "floats.tif": "floating-point pixels are not read",
        "nothing.png": "shows nothing",
        "folder.jpg": "is a folder",
        "pipe.jpg": "is not a regular file",
        "loop.jpg": "is a broken link",
        "nowhere.jpg": "is a broken link",
    }


def write_damaged(folder: Path, count: int, seed: int) -> None:
    """Write photos in which some bytes are changed, missing or doubled."""
    draw = np.random.default_rng(seed)
    kinds = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000", "AVIF")
    for number in range(count):
        kind = kinds[number % len(kinds)]
        file = io.BytesIO()
        Image.fromarray(draw.integers(0, 256, (*SIZE, 3), dtype=np.uint8)).save(file, kind)
        data = bytearray(file.getvalue())
        for _ in range(int(draw.integers(1, 9))):
            data[int(draw.integers(0, min(len(data), 200 if number % 2 else 10**9)))] = int(draw.integers(0, 256))
        if number % 3 == 0:
            del data[int(draw.integers(10, len(data))) :]
        (folder / f"damaged{number}.jpg").write_bytes(bytes(data))


def _bomb(side: int) -> bytes:
    """Return a small PNG file of a very large picture, which is black."""
    row = zlib.compress(bytes(side // 8 + 1) * side, 1)
    return _png(struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0), row)


def _png16(picture: np.ndarray) -> bytes:
    """Return a PNG with 16 bits per channel, which Pillow cannot write."""
    height, width, _ = picture.shape
    wide = (picture.astype(">u2") << 8).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in wide)
    return _png(struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0), zlib.compress(rows))


def _png(header: bytes, pixels: bytes) -> bytes:
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
