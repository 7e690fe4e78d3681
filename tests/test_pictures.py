"""Every file of an image is shown as it is, or refused in one line; its header and its pixels agree."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps, TiffImagePlugin

from tests.png_files import chunk, insert_chunk, write_gray_png
from vclr.errors import UserError
from vclr.pictures import (
    IMAGE_SUFFIXES,
    MAX_PIXELS_OF,
    STRIP_PIXELS,
    TooManyPixelsError,
    list_images,
    open_image,
    read_image,
    read_image_header,
    read_numbers,
    software_of,
    write_png,
)

RAMP = np.add.outer(np.arange(24) * 9, np.arange(40)).astype(np.uint8)  # 0 to 246
GRAY = np.repeat(RAMP[..., None], 3, axis=2)
UPRIGHT_VALUES = range(10)  # EXIF's orientations are 1 to 8


def write_tiff(
    path: Path, pixels: bytes, bits: int, order: str = "<", photometric: int = 1, sample_format: int = 1
) -> None:
    """Write a gray TIFF of RAMP's size in one strip."""
    height, width = RAMP.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height}
    tags |= {279: len(pixels), 339: sample_format}
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, 4, 1) + struct.pack(f"{order}I", value) for tag, value in sorted(tags.items())
    )
    magic = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(pixels))
    path.write_bytes(magic + pixels + struct.pack(f"{order}H", len(tags)) + entries + bytes(4))


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


# --- pixels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "LA", "RGBA", "1", "CMYK", "YCbCr", "PA", "RGBX"])
def test_images_of_every_mode_are_read_as_rgb(tmp_path: Path, mode: str):
    path = tmp_path / ("a.tif" if mode in ("CMYK", "YCbCr", "PA", "RGBX") else "a.png")
    white = Image.new("RGB", (5, 3), (255, 255, 255))
    (white.convert("P").convert("PA") if mode == "PA" else white.convert(mode)).save(path)
    image = read_image(path)
    assert image.shape == (3, 5, 3)
    assert image.dtype == np.uint8
    assert image.min() == 255


@pytest.mark.parametrize("low", [0, 0x7F])
def test_gray_of_16_bits_shows_its_highest_8(tmp_path: Path, low: int):
    values = RAMP.astype(np.uint16) * 256 + low
    Image.fromarray(values).save(tmp_path / "a.png")
    Image.fromarray(values).save(tmp_path / "a.tif")
    Image.fromarray(values).save(tmp_path / "packed.tif", compression="tiff_lzw")
    write_tiff(tmp_path / "big.tif", values.astype(">u2").tobytes(), 16, ">")
    write_tiff(tmp_path / "inverted.tif", (65535 - values).astype("<u2").tobytes(), 16, photometric=0)
    Image.fromarray(values.astype(np.int32)).save(tmp_path / "a.pgm")
    for path in tmp_path.iterdir():
        assert (read_image(path) == GRAY).all(), path.name
        assert (read_image_header(path).height, read_image_header(path).width) == RAMP.shape


def test_gray_of_12_bits_shows_its_highest_8(tmp_path: Path):
    values = RAMP.astype(np.uint16).ravel() * 16 + 5
    first, second = values[::2], values[1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1).astype(np.uint8)
    write_tiff(tmp_path / "a.tif", packed.tobytes(), 12)
    assert (read_image(tmp_path / "a.tif") == GRAY).all()


def test_colors_of_16_bits_show_their_highest_8(tmp_path: Path):
    colors = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=2)
    values = (colors.astype(np.uint16) * 256 + 0x99).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    header = struct.pack(">IIBBBBB", RAMP.shape[1], RAMP.shape[0], 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    assert (read_image(tmp_path / "a.png") == colors).all()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_gray_of_few_bits_reaches_from_black_to_white(tmp_path: Path, bits: int):
    values = np.arange(2**bits)[None].repeat(3, axis=0)
    write_gray_png(tmp_path / "a.png", values, bits)
    assert (read_image(tmp_path / "a.png")[..., 0] == values * (255 // (2**bits - 1))).all()


def refused(tmp_path: Path, name: str) -> Path:
    """Write a file whose pixels nobody can show for certain."""
    path = tmp_path / "a.tif"
    if name == "float":
        Image.fromarray(RAMP.astype(np.float32) / 255).save(path)
    elif name == "half floats":
        write_tiff(path, RAMP.astype("<f2").tobytes(), 16, sample_format=3)
    elif name == "32 bits":
        Image.fromarray(RAMP.astype(np.int32) << 8).save(path)
    elif name == "unsigned 32 bits":
        write_tiff(path, (RAMP.astype(np.uint32) << 8).astype("<u4").tobytes(), 32)
    elif name == "signed 16 bits":
        write_tiff(path, (RAMP.astype(np.int16) - 90).astype("<i2").tobytes(), 16, sample_format=2)
    elif name == "LAB":
        Image.new("LAB", (5, 3)).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("float", "floating-point pixels are not read; save it with 8 bits per channel"),
        ("half floats", "is an unsupported kind of TIFF; save it with 8 bits per channel"),
        ("32 bits", "32 bits per channel are not read; save it with 8 bits per channel"),
        ("unsigned 32 bits", "32 bits per channel are not read; save it with 8 bits per channel"),
        ("signed 16 bits", "signed pixels are not read; save it with 8 bits per channel"),
        ("LAB", "LAB pixels are not read; save it with 8 bits per channel"),
    ],
)
def test_pixels_of_other_kinds_are_refused_by_header_and_pixels_alike(tmp_path: Path, name: str, says: str):
    path = refused(tmp_path, name)
    for read in (read_image_header, read_image):
        with pytest.raises(UserError) as caught:
            read(path)
        assert str(caught.value) == f"{path}: {says}"


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "RGB"])
def test_transparent_pixels_are_white(tmp_path: Path, mode: str):
    seen = Image.new("L", (40, 24), 255)
    seen.paste(0, (0, 0, 20, 24))  # the left half is not to be seen
    path, options = tmp_path / "a.png", {}
    image = Image.fromarray(GRAY).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(seen)
    else:  # one color that is not to be seen
        key = {"P": 7, "L": 7, "RGB": (7, 7, 7)}[mode]
        image.paste(key, (0, 0, 20, 24))
        image.paste({"P": 8, "L": 80, "RGB": (80, 80, 80)}[mode], (20, 0, 40, 24))
        options = {"transparency": key}
    image.save(path, **options)
    picture = read_image(path)
    assert (picture[:, :20] == 255).all()
    assert (picture[:, 20:] < 255).any()
    if mode in ("RGBA", "LA"):
        assert (picture[:, 20:] == GRAY[:, 20:]).all()


def test_picture_of_nothing_but_transparent_pixels_is_refused(tmp_path: Path):
    Image.new("RGBA", (5, 3), (9, 9, 9, 0)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png: shows nothing: all of it is transparent"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".webp", ".gif", ".tif"])
def test_first_of_several_frames_is_read(tmp_path: Path, suffix: str):
    frames = [Image.new("RGB", (8, 6), (level, 0, 0)) for level in (250, 100)]
    path = tmp_path / f"a{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:], **({"lossless": True} if suffix == ".webp" else {}))
    assert read_image_header(path) == (6, 8, False, True, 1)
    assert (read_image(path) == (250, 0, 0)).all()


def test_program_that_calls_itself_a_picture_is_not_started(tmp_path: Path):
    """Ghostscript reads EPS; no photo needs it."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(UserError, match=r"a\.png: is not an image"):
        read_image(tmp_path / "a.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("kind", "before_size"), [("JPEG2000", b"ihdr"), ("AVIF", b"ispe\0\0\0\0")])
def test_photo_that_needs_much_memory_to_decode_is_refused_from_fewer_pixels_on(kind: str, before_size: bytes):
    assert kind in MAX_PIXELS_OF
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, kind)
    size, large = before_size + struct.pack(">II", 64, 64), before_size + struct.pack(">II", 12501, 10000)
    assert size in file.getvalue()
    with pytest.raises(TooManyPixelsError, match="a: has more than 125 million pixels"):
        read_image_header("a", file.getvalue().replace(size, large))


# --- orientation -----------------------------------------------------------------------------------------------------


def xmp_of(orientation: int) -> bytes:
    return f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()


def write_turned(path: Path, carrier: str, orientation: int) -> None:
    """Write RAMP with an orientation where `carrier` says."""
    image, place = Image.fromarray(GRAY), carrier.removeprefix("late ")
    if path.suffix != ".png":
        xmp = {"tiffinfo": {700: xmp_of(orientation)}} if path.suffix == ".tif" else {"xmp": xmp_of(orientation)}
        options = {"exif": exif_of(orientation)} if place == "exif" else xmp
        image.save(path, **options, **({"lossless": True} if path.suffix == ".webp" else {}))
        return
    image.save(path)
    exif = exif_of(orientation).tobytes()
    raw = f"\nexif\n{len(exif):8}\n{exif.hex()}\n".encode()
    new = {
        "exif": chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")),
        "xmp": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp_of(orientation)),
        "text": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw)),
        "plain text": chunk(b"tEXt", b"Raw profile type exif\0" + raw),
    }[place]
    insert_chunk(path, new, behind=carrier.startswith("late"))


@pytest.mark.parametrize("orientation", UPRIGHT_VALUES)
@pytest.mark.parametrize(
    ("suffix", "carrier"),
    [
        (".jpg", "exif"),
        (".jpg", "xmp"),
        (".webp", "exif"),
        (".webp", "xmp"),
        (".tif", "exif"),
        (".tif", "xmp"),
        (".avif", "exif"),
        (".avif", "xmp"),
        *((".png", f"{late}{place}") for late in ("", "late ") for place in ("exif", "xmp", "text", "plain text")),
    ],
)
def test_header_has_the_size_that_the_image_is_read_with(tmp_path: Path, suffix: str, carrier: str, orientation: int):
    path = tmp_path / f"a{suffix}"
    write_turned(path, carrier, orientation)
    header, picture = read_image_header(path), read_image(path)
    assert (header.height, header.width) == picture.shape[:2]
    assert header.is_turned == (2 <= orientation <= 8)
    turned = Image.fromarray(GRAY)
    turned.info["exif"] = exif_of(orientation).tobytes()
    expected = np.asarray(ImageOps.exif_transpose(turned)).astype(int)
    assert picture.shape == expected.shape
    assert np.abs(picture - expected).max() <= (12 if suffix in (".jpg", ".avif") else 0)
    data = path.read_bytes()
    assert read_image_header("packed.png", data) == header
    assert np.array_equal(np.asarray(open_image("packed.png", data)), picture)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "CMYK", "I;16"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_large_picture_is_as_a_whole_what_its_strips_are(mode: str, orientation: int):
    size = (1000, 2 * STRIP_PIXELS // 1000 + 7)
    colors = Image.effect_mandelbrot(size, (-1.6, -1.1, 0.7, 1.2), 50)
    bands = colors, colors.transpose(Image.Transpose.ROTATE_180), Image.linear_gradient("L").resize(size)
    wide = Image.fromarray(np.asarray(colors).astype(np.uint16) * 256)
    picture = wide if mode == "I;16" else Image.merge("RGB", bands).convert(mode)
    if "A" in mode:
        picture.putalpha(Image.radial_gradient("L").resize(size))
        picture.paste(0, (0, 0, 1000, 1500))  # the whole first strip is transparent
    file = io.BytesIO()
    picture.save(file, "TIFF" if mode == "CMYK" else "PNG", compress_level=1, exif=exif_of(orientation))
    if "A" in mode:
        rgba = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", size, "white"), rgba)
    expected = (Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8)) if mode == "I;16" else picture).convert(
        "RGB"
    )
    expected.info["exif"] = exif_of(orientation).tobytes()
    assert np.array_equal(np.asarray(open_image("a", file.getvalue())), np.asarray(ImageOps.exif_transpose(expected)))


def test_gray_of_16_bits_is_turned_too(tmp_path: Path):
    Image.fromarray(RAMP.astype(np.uint16) * 256).save(tmp_path / "a.png", exif=exif_of(6))
    Image.fromarray(RAMP.astype(np.uint16) * 256).save(tmp_path / "a.tif", exif=exif_of(6))
    for path in tmp_path.iterdir():
        assert (read_image(path) == np.rot90(GRAY, -1)).all()
        assert read_image_header(path) == (40, 24, True, False, 6)


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("content", [b"", b"II*\0", b"not EXIF", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03"])
def test_damaged_exif_turns_nothing(tmp_path: Path, content: bytes, behind: bool):
    Image.fromarray(GRAY).save(tmp_path / "a.png")
    insert_chunk(tmp_path / "a.png", chunk(b"eXIf", content), behind)
    assert read_image_header(tmp_path / "a.png") == (24, 40, False, False, 1)
    assert (read_image(tmp_path / "a.png") == GRAY).all()


def test_header_does_not_read_the_pixels(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png", compress_level=1)

    def seconds(count: int, read: object) -> float:
        start = time.perf_counter()
        for _ in range(count):
            read(tmp_path / "a.png")  # type: ignore[operator]
        return (time.perf_counter() - start) / count

    assert min(seconds(5, read_image_header) for _ in range(3)) < seconds(1, read_image) / 5


# --- masks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("palette", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_numbers_of_a_mask_are_those_in_the_file(tmp_path: Path, bits: int, palette: bool):
    if palette and bits == 16:
        return
    values = np.arange(4 * 2**bits).reshape(4, -1) % 2**bits
    write_gray_png(tmp_path / "a.png", values, bits, palette)
    numbers = read_numbers(tmp_path / "a.png")
    assert numbers.dtype == (np.uint16 if bits == 16 else np.uint8)
    assert (numbers == values).all()


def test_numbers_of_a_mask_are_turned_as_photos_are(tmp_path: Path):
    write_gray_png(tmp_path / "a.png", RAMP // 16, 4)
    insert_chunk(tmp_path / "a.png", chunk(b"eXIf", exif_of(6).tobytes().removeprefix(b"Exif\0\0")), behind=True)
    assert (read_numbers(tmp_path / "a.png") == np.rot90(RAMP // 16, -1)).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colors_are_no_numbers(tmp_path: Path, mode: str):
    Image.fromarray(GRAY).convert(mode).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=rf"a\.png: its pixels are colors \({mode}\); a mask needs a palette"):
        read_numbers(tmp_path / "a.png")


# --- files -----------------------------------------------------------------------------------------------------------


def test_png_round_trip(tmp_path: Path):
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", image)
    assert (read_image(tmp_path / "a.png") == image).all()
    assert software_of(tmp_path / "a.png") == ""
    write_png(tmp_path / "a.png", image, software="a test")
    assert (read_image(tmp_path / "a.png") == image).all()
    assert software_of(tmp_path / "a.png") == "a test"
    assert software_of(tmp_path / "absent.png") == ""


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tif", ".gif", ".jp2", ".avif"])
def test_damaged_images_are_one_line(tmp_path: Path, suffix: str):
    generator = np.random.default_rng(0)
    whole = tmp_path / f"whole{suffix}"
    Image.fromarray(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(whole)
    content, path = bytearray(whole.read_bytes()), tmp_path / f"damaged{suffix}"
    refusals = []
    for cut in generator.integers(0, len(content), 60):
        damaged = content[:cut] if cut % 2 else content[: cut // 2] + generator.bytes(20) + content[cut // 2 + 20 :]
        path.write_bytes(damaged)
        try:
            read_image(path)
        except UserError as error:
            refusals.append(str(error))
    assert len(refusals) >= 15
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in refusals)


@pytest.mark.parametrize("name", ["text.png", "absent.png", "."])
def test_what_is_no_image_is_one_line(tmp_path: Path, name: str):
    (tmp_path / "text.png").write_text("not an image")
    for read in (read_image, read_image_header, read_numbers):
        with pytest.raises(UserError, match="image") as caught:
            read(tmp_path / name)
        assert "Errno" not in str(caught.value)


def test_header_of_what_is_no_image_is_one_line(tmp_path: Path):
    (tmp_path / "a.png").write_text("not an image")
    with pytest.raises(UserError, match=r"a\.png: is not an image$"):
        read_image_header(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"b\.png: cannot be read as an image: No such file"):
        read_image_header(tmp_path / "b.png")


def test_folders_list_their_images_by_name(tmp_path: Path):
    for name in ("b.png", "a.JPG", "c.TIF", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "._b.png").write_bytes(b"of a Mac")
    assert [path.name for path in list_images(tmp_path)] == ["a.JPG", "b.png", "c.TIF"]
    with pytest.raises(UserError, match="no such folder"):
        list_images(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="contains no images"):
        list_images(tmp_path / "empty")


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_every_suffix_that_is_listed_can_be_read(tmp_path: Path, suffix: str):
    Image.fromarray(GRAY).save(tmp_path / f"a{suffix}")
    assert read_image(tmp_path / f"a{suffix}").shape == GRAY.shape
    assert open_image("a", (tmp_path / f"a{suffix}").read_bytes()).size == (40, 24)


def test_wide_planes_of_a_tiff_are_refused(tmp_path: Path):
    """Pillow reads them as bytes, which gives another picture."""
    height, width = 4, 6
    bits, offsets, counts = 200, 210, 230  # where the values are that do not fit an entry
    plane = height * width * 2
    entries = [
        *[(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, bits), (259, 3, 1, 1), (262, 3, 1, 2)],
        *[(273, 4, 3, offsets), (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 3, counts), (284, 3, 1, 2)],
    ]
    data = bytearray(struct.pack("<2sHIH", b"II", 42, 8, len(entries)))
    data += b"".join(struct.pack("<HHII", *entry) for entry in entries)
    data = data.ljust(bits, b"\0") + struct.pack("<3H", 16, 16, 16)
    data = data.ljust(offsets, b"\0") + struct.pack("<3I", *(300 + plane * number for number in range(3)))
    data = data.ljust(counts, b"\0") + struct.pack("<3I", plane, plane, plane)
    path = tmp_path / "planes.tif"
    path.write_bytes(data.ljust(300, b"\0") + bytes(range(plane)) * 3)
    with pytest.raises(UserError, match=r"planes\.tif: planes of 16 bits are not read; save it with 8 bits"):
        open_image(path)


def test_preview_of_a_raw_photo_is_not_taken_for_it(tmp_path: Path):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[50706] = b"\1\4\0\0"  # the version of DNG
    Image.fromarray(GRAY).save(tmp_path / "a.tif", tiffinfo=tags)
    Image.fromarray(GRAY).save(tmp_path / "b.nef", "TIFF")
    for path in tmp_path.iterdir():
        for read in (read_image_header, read_image):
            with pytest.raises(UserError, match=r"is a raw photo of a camera, which is not read; convert it to JPEG"):
                read(path)
