"""Image files: what they show, the size that it has, and how they are written.

Everything that looks at a photo, a view or a mask reads it here, so that all agree on it. What a file shows:

- pixels of 8 bits per channel or fewer, in gray, a palette, RGB, CMYK or YCbCr: those pixels as RGB;
- gray of 16 bits, or of 12 in a TIFF: its highest 8 bits; Pillow itself does the same with colors of 16 bits;
- transparent pixels: as they look on white paper, not the color that happens to lie under them;
- several frames or pages: the first;
- an orientation, in EXIF data or XMP, in front of the pixels or behind them: the picture turned upright.

What cannot be shown right for certain (floats, 32 bits, signed numbers, LAB) is refused, by its header already: nothing
is clipped to black or white without a word.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin, UnidentifiedImageError

from vclr.errors import UserError
from vclr.file_names import say_nearest
from vclr.files import atomic_path

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
# By content, whatever the suffix. Others of Pillow's stay out: EPS, for one, would start Ghostscript.
FORMATS = {"JPEG": "Jpeg", "PNG": "Png", "BMP": "Bmp", "GIF": "Gif", "WEBP": "WebP", "TIFF": "Tiff", "PPM": "Ppm"}
FORMATS |= {"JPEG2000": "Jpeg2K", "AVIF": "Avif"}  # with the modules of Pillow that read them
EIGHT_BITS = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
SCALED_TO_16_BITS = ("PNG", "PPM")  # formats of which Pillow's mode "I", of 32 bits, only ever holds 16
WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
NUMBERS = ("1", "L", "P", *SIXTEEN_BITS, "I")
SPREAD = {"L;2": 85, "L;4": 17}  # what Pillow multiplies the gray of 2 and 4 bits with

ORIENTATION = ExifTags.Base.Orientation
UPRIGHT = {  # by the orientation in EXIF data, what turns a picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LYING = range(5, 9)  # those of them that exchange height and width

# Tags of a TIFF.
TIFF_WIDTH, TIFF_HEIGHT, TIFF_BITS, TIFF_PHOTOMETRIC, TIFF_SAMPLE_FORMAT = 256, 257, 258, 262, 339
TIFF_SAMPLES, TIFF_PLANES, SEPARATE = 277, 284, 2
WHITE_IS_ZERO, SIGNED = 0, 2

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_METADATA = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
MAX_METADATA = 1 << 24  # bytes
NO_PIXELS = b"\x00\x00\x00\x00IDAT\x35\xaf\x06\x1e"

DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError, Warning)
# What Pillow warns of in a damaged block of tags is said where it matters, by an error.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\..*Plugin")
# Photos of 90 to 180 million pixels exist; larger ones are an error.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

for module in FORMATS.values():
    with suppress(ImportError):  # older versions of Pillow have no AVIF
        import_module(f"PIL.{module}ImagePlugin")


class ImageHeader(NamedTuple):
    """What an image file says of itself before its pixels.

    Attributes:
        height: of the picture as `open_image` turns it.
        width: likewise.
        is_turned: whether an orientation in it says to turn it.
        has_frames: whether it holds more frames or pages than the first, which is the one that is read.
    """

    height: int
    width: int
    is_turned: bool
    has_frames: bool = False


def open_image(path: str | Path, data: bytes | None = None, at_least: tuple[int, int] | None = None) -> Image.Image:
    """Read what an image file shows, as RGB and upright.

    Args:
        path: the file.
        data: its bytes, if they are not in a file of that name; it then only names them.
        at_least: (width, height) that are enough: of a JPEG, only as much is then decoded, and without color.

    Raises:
        UserError: the file is missing, is not an image, is damaged, or has pixels of a kind that is not read.
    """
    with _open_file(path, data) as image:
        _refuse_others(path, image)
        if at_least is not None:
            image.draft("L", at_least)
        image.load()
        shown = _as_rgb(path, image)
        # Pillow turns a TIFF by itself, and then no longer says that it is to be turned.
        turn = UPRIGHT.get(_orientation(image))
        return shown if turn is None else shown.transpose(turn)


def read_image_header(path: str | Path, data: bytes | None = None) -> ImageHeader:
    """Read what an image file says of itself, but no pixels: damage to these is not found.

    Raises:
        UserError: the file is missing, is not an image, or has pixels of a kind that is not read.
    """
    with _open_file(path, data) as image:
        _refuse_others(path, image)
        orientation = _orientation(image)
        width, height = image.size
        if image.format == "TIFF":  # whose size some versions of Pillow give as turned
            width, height = _tag(image, TIFF_WIDTH, width), _tag(image, TIFF_HEIGHT, height)
        if orientation in LYING:
            width, height = height, width
        # Many cameras put a preview behind a JPEG.
        has_frames = image.format not in ("JPEG", "MPO") and getattr(image, "is_animated", False)
        return ImageHeader(height, width, orientation in UPRIGHT, has_frames)


def read_image(path: str | Path) -> np.ndarray:
    """Read an image file as `open_image` does.

    Returns:
        (h, w, 3) uint8.
    """
    return np.asarray(open_image(path))


def read_numbers(path: str | Path, data: bytes | None = None) -> np.ndarray:
    """Read the values that a mask's file stores for its pixels: indices of its palette, or unscaled grays.

    Args:
        path: the file.
        data: its bytes, if they are not in a file of that name; it then only names them.

    Returns:
        (h, w) uint8 of up to 8 bits, else uint16; upright, as a photo with the same orientation.

    Raises:
        UserError: the file is missing, is not an image, is damaged, or its pixels are colors.
    """
    with _open_file(path, data) as image:
        is_wide = image.mode == "I" and image.format not in SCALED_TO_16_BITS
        if image.mode not in NUMBERS or is_wide:
            raise UserError(
                f"{path}: its pixels are colors ({image.mode}); needs numbers: a palette, or gray of 1 to 16 bits"
            )
        tiles = getattr(image, "tile", ())
        spread = SPREAD.get(tiles[0][3], 1) if tiles and isinstance(tiles[0][3], str) else 1
        image.load()
        turn = UPRIGHT.get(_orientation(image))
        stored: np.ndarray = np.asarray(image if turn is None else image.transpose(turn))
        return stored.astype(np.uint16 if image.mode in (*SIXTEEN_BITS, "I") else np.uint8) // spread


def write_png(path: str | Path, image: np.ndarray, software: str = "") -> None:
    """Write an (h, w, 3) uint8 image as PNG, atomically.

    The run-length strategy of deflate involves no match search, so the bytes do not depend on which search a
    processor is fastest at.

    Args:
        path: the file.
        image: its pixels.
        software: what made the picture, to be written into the file (see `software_of`).
    """
    text = PngImagePlugin.PngInfo()
    if software:
        text.add_text("Software", software)
    with atomic_path(path) as partial:
        Image.fromarray(image).save(partial, format="PNG", compress_type=3, compress_level=6, pnginfo=text)


def software_of(path: str | Path) -> str:
    """Return what made a picture, as `write_png` noted it; "" if it does not say, or is not an image."""
    try:
        with _open_file(path) as image:
            return str(image.info.get("Software", ""))
    except UserError:
        return ""


def list_images(folder: str | Path) -> list[Path]:
    """List the image files of a folder by name.

    Raises:
        UserError: the folder is missing or holds no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder{say_nearest(folder)}")
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise UserError(f"{folder}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
    return images


@contextmanager
def _open_file(path: str | Path, data: bytes | None = None) -> Iterator[Image.Image]:
    """Open an image, with all that it says of its orientation in `info`; what goes wrong inside is a `UserError`."""
    try:
        with open(path, "rb") if data is None else io.BytesIO(data) as file:
            try:
                image = Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])
            except UnidentifiedImageError:
                raise UserError(f"{path}: {_explain_unidentified(file)}") from None
            with image:
                if image.format == "PNG":
                    _read_late_metadata(image, file)
                yield image
    except DAMAGE as error:
        says = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UserError(f"{path}: cannot be read as an image: {says}") from None


def _explain_unidentified(file: IO[bytes]) -> str:
    file.seek(0)
    if file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "is a TIFF of a kind that is not read; save it with 8 bits per channel"
    return "is not an image"


def _read_late_metadata(image: Image.Image, file: IO[bytes]) -> None:
    """Add to a PNG's `info` what its file says behind the pixels, without decoding these.

    Chunks of metadata may stand on either side of the pixels. Pillow reads the later ones together with the pixels, so
    its header and its pixels could disagree on the orientation.
    """
    position = file.tell()
    chunks = list(_late_metadata(file))
    file.seek(position)
    if not chunks:
        return
    file.seek(len(PNG_SIGNATURE))
    start = PNG_SIGNATURE + file.read(25)  # IHDR
    file.seek(position)
    try:
        with Image.open(io.BytesIO(b"".join([start, *chunks, NO_PIXELS])), formats=["PNG"]) as front:
            image.info.update(front.info)
    except DAMAGE:
        return  # metadata that nobody can read says nothing


def _late_metadata(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the chunks of metadata behind a PNG's pixels, passing over all others."""
    file.seek(len(PNG_SIGNATURE))
    is_late = False
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return
        is_late |= kind == b"IDAT"
        if is_late and kind in PNG_METADATA and length <= MAX_METADATA:
            yield head + file.read(length + 4)
        else:
            file.seek(length + 4, io.SEEK_CUR)


def _orientation(image: Image.Image) -> int:
    """Return how an image is to be turned, by EXIF's numbers: 1 is upright, as is what cannot be made sense of."""
    try:
        # Not a PNG's own `getexif`, which decodes all its pixels first.
        value = Image.Image.getexif(image).get(ORIENTATION, 1)
    except Exception:  # Pillow's parser raises whatever a damaged block leads it to; the pixels are none the worse
        return 1
    return value if isinstance(value, int) else 1


def _refuse_others(path: str | Path, image: Image.Image) -> None:
    """Raise where the kind of an image's pixels leaves open what they show."""
    bits, is_planar = _tag(image, TIFF_BITS, 8), _tag(image, TIFF_PLANES, 1) == SEPARATE
    if is_planar and bits > 8 and _tag(image, TIFF_SAMPLES, 1) > 1:  # Pillow takes these for bytes
        raise UserError(f"{path}: planes of {bits} bits are not read; save it with 8 bits per channel")
    is_signed = _tag(image, TIFF_SAMPLE_FORMAT, 1) == SIGNED and _tag(image, TIFF_BITS, 8) <= 16
    is_read = image.mode in (*EIGHT_BITS, *SIXTEEN_BITS) or (image.mode == "I" and image.format in SCALED_TO_16_BITS)
    if is_signed or not is_read:
        kinds = {"I": "32 bits per channel", "F": "floating-point pixels"}
        kind = "signed pixels" if is_signed else kinds.get(image.mode, f"{image.mode} pixels")
        raise UserError(f"{path}: {kind} are not read; save it with 8 bits per channel")


def _tag(image: Image.Image, tag: int, otherwise: int) -> int:
    """Return a tag of a TIFF, the first of its values if it has several; `otherwise` of every other image."""
    value = getattr(image, "tag_v2", {}).get(tag, otherwise) if image.format == "TIFF" else otherwise
    return int(value[0] if isinstance(value, tuple) else value)


def _as_rgb(path: str | Path, image: Image.Image) -> Image.Image:
    """Return a loaded image as RGB, not yet turned."""
    key = image.info.get("transparency")
    if image.mode in (*SIXTEEN_BITS, "I"):
        return Image.fromarray(_highest_bits(image)).convert("RGB")
    if image.mode not in WITH_ALPHA and key is None:
        return image if image.mode == "RGB" else image.convert("RGB")
    if image.format == "BMP":  # whose fourth channel most writers leave at zero
        return image.convert("RGB")
    if isinstance(key, tuple) and max(key) > 255:
        raise UserError(f"{path}: a transparent color of 16 bits is not read; save it with 8 bits per channel")
    layered = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    lowest, highest = layered.getchannel("A").getextrema()
    if highest == 0:
        raise UserError(f"{path}: shows nothing: all of it is transparent")
    if lowest == 255:
        return layered.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")


def _highest_bits(image: Image.Image) -> np.ndarray:
    """Return the highest 8 bits of a gray image of up to 16, (h, w) uint8."""
    bits = _tag(image, TIFF_BITS, 16)
    levels = (np.asarray(image).astype(np.int32) >> max(0, bits - 8)).astype(np.uint8)
    return 255 - levels if _tag(image, TIFF_PHOTOMETRIC, 1) == WHITE_IS_ZERO else levels
