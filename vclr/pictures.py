"""Read and write image files.

Every photo, view and mask is read here, so that all parts of the package agree on it. The content of a file:

- pixels of 8 bits per channel or fewer, in gray, a palette, RGB, CMYK or YCbCr: those pixels as RGB;
- inverse depth of 16 bits that `vclr views` wrote, which the file itself says: colors, near bright;
- other gray of 16 bits, or of 12 in a TIFF: its highest 8 bits; Pillow itself does the same with colors of 16 bits;
- transparent pixels: as they look on white paper, not the color that happens to lie under them;
- several frames or pages: the first;
- an orientation, in EXIF data or XMP, in front of the pixels or behind them: the picture turned upright.

Kinds of pixels whose meaning is uncertain (floats, 32 bits, signed numbers, LAB) are refused as soon as the header is
read: nothing is silently clipped to black or white.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import IO, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageFile, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from vclr.depth_colors import colorize_levels
from vclr.errors import UserError, first_line, is_out_of_memory
from vclr.file_names import is_mac_metadata, say_nearest
from vclr.files import atomic_path
from vclr.picture_limits import PNG_SIGNATURE, png_chunks, refuse_excess, refuse_large_notes, refuse_many_scans

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".jp2", ".avif")
# Photos of these formats are refused by name: from a folder, they are not left out in silence.
UNREAD_SUFFIXES = (".heic", ".heif", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".psd", ".svg")
RAW_SUFFIXES = (".dng", ".cr2", ".nef", ".arw")  # those of them that are TIFF files, whose first page is a preview
# Recognized by content, whatever the suffix. Other formats stay out: EPS, for example, would start Ghostscript.
FORMATS = {"JPEG": "Jpeg", "PNG": "Png", "BMP": "Bmp", "GIF": "Gif", "WEBP": "WebP", "TIFF": "Tiff", "PPM": "Ppm"}
FORMATS |= {"JPEG2000": "Jpeg2K", "AVIF": "Avif"}  # with the modules of Pillow that read them
UNREAD_FORMATS = {b"ftyphei": "HEIC", b"ftyphev": "HEIC", b"ftypmif1": "HEIF", b"ftypmsf1": "HEIF"}  # how they begin
UNREAD_FORMATS |= {b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL ": "JPEG XL", b"8BPS": "PSD", b"<svg": "SVG"}
SIGNATURES = {  # how files of `FORMATS` begin
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "BMP": rb"BM.{4}\0{4}",
    "GIF": rb"GIF8[79]a",
    "WebP": rb"RIFF.{4}WEBP",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "PPM": rb"P[1-6]\s",
    "JPEG 2000": rb"\xff\x4f\xff\x51|\0{3}\x0cjP  \r\n\x87\n",
    "AVIF": rb".{4}ftypavi[fs]",
}
EIGHT_BITS = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
SCALED_TO_16_BITS = ("PNG", "PPM")  # formats whose 32-bit mode "I" in Pillow holds at most 16 bits
WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
NUMBERS = ("1", "L", "P", *SIXTEEN_BITS, "I")
SPREAD = {"L;2": 85, "L;4": 17}  # the factor by which Pillow scales gray of 2 and 4 bits

INVERSE_DEPTH = "Inverse depth"  # text of a PNG whose 16 bits are inverse depth: "LOW HIGH", of its values 0 and 65535

ORIENTATION = ExifTags.Base.Orientation
UPRIGHT = {  # EXIF orientation -> transposition that turns the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LYING = range(5, 9)  # those of them that exchange height and width
FROM_THE_END = (3, 4, 6, 7)  # those that bring the first rows to the end
STRIP_PIXELS = 1 << 20  # that are converted at once
LARGE_READERS = ("WEBP", "AVIF")  # formats whose readers hold a picture of their own

# Tags of a TIFF.
TIFF_WIDTH, TIFF_HEIGHT, TIFF_BITS, TIFF_PHOTOMETRIC, TIFF_SAMPLE_FORMAT = 256, 257, 258, 262, 339
TIFF_SAMPLES, TIFF_PLANES, SEPARATE = 277, 284, 2
DNG_VERSION = 50706
WHITE_IS_ZERO, SIGNED = 0, 2

PNG_METADATA = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
NO_PIXELS = b"\x00\x00\x00\x00IDAT\x35\xaf\x06\x1e"

DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, Image.DecompressionBombError, Warning)
# Where a damaged block of tags matters, an error reports it; Pillow's warnings add nothing.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\..*Plugin")
# Photos of 90 to 180 million pixels exist; larger ones are an error.
MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 0)
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Formats whose decoders need more memory: with 16 bits, JPEG 2000 takes 29 bytes per pixel, others at most 18. AVIF
# needs another picture for film grain. A scene of Sentinel-2 has 121 million pixels.
MAX_PIXELS_OF = {"JPEG2000": 125_000_000, "AVIF": 125_000_000}

for module in FORMATS.values():
    with suppress(ImportError):  # older versions of Pillow have no AVIF
        import_module(f"PIL.{module}ImagePlugin")


class TooManyPixelsError(UserError):
    """Report an image whose header names more pixels than memory suffices for; they were not decoded."""


class UnknownKindError(UserError):
    """Report a file that is not an image, or whose format or kind of pixels is not read; it may be intact."""


class ImageHeader(NamedTuple):
    """The header of an image file.

    Attributes:
        height: height of the upright picture.
        width: width of the upright picture.
        is_turned: whether the file has an orientation other than upright.
        has_frames: whether it holds several frames or pages, of which the first is read.
        orientation: as in EXIF data, 1 to 8; 1 is upright.
    """

    height: int
    width: int
    is_turned: bool
    has_frames: bool = False
    orientation: int = 1


def open_image(path: str | Path, data: bytes | None = None, at_least: tuple[int, int] | None = None) -> Image.Image:
    """Read an image file as RGB, upright.

    Args:
        path: the file.
        data: its bytes, if they do not come from a file; `path` then only names them in errors.
        at_least: sufficient (width, height): a JPEG is then decoded at a reduced size and without color.

    Raises:
        UserError: the file is missing, is not an image, is damaged, or has an unsupported kind of pixels.
    """
    with _open_file(path, data) as image:
        _refuse_others(path, image)
        if at_least is not None:
            image.draft("L", at_least)
        _load(path, image)
        return _upright_rgb(path, image)


def read_image_header(path: str | Path, data: bytes | None = None) -> ImageHeader:
    """Read the header of an image file but no pixels, so that damaged pixels go unnoticed.

    Raises:
        UserError: the file is missing, is not an image, or has an unsupported kind of pixels.
    """
    with _open_file(path, data) as image:
        _refuse_others(path, image)
        orientation = _orientation(image)
        width, height = image.size
        if image.format == "TIFF":  # some versions of Pillow give the size of the turned picture
            width, height = _tag(image, TIFF_WIDTH, width), _tag(image, TIFF_HEIGHT, height)
        if orientation in LYING:
            width, height = height, width
        with _naming_damage(path):
            # Many cameras append a preview to a JPEG.
            has_frames = image.format not in ("JPEG", "MPO") and getattr(image, "is_animated", False)
        return ImageHeader(height, width, orientation in UPRIGHT, has_frames, orientation)


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
        data: its bytes, if they do not come from a file; `path` then only names them in errors.

    Returns:
        (h, w) uint8 for up to 8 bits, otherwise uint16; upright, like a photo with the same orientation.

    Raises:
        UserError: the file is missing, is not an image, is damaged, or its pixels are colors.
    """
    with _open_file(path, data) as image:
        is_wide = image.mode == "I" and image.format not in SCALED_TO_16_BITS
        if image.mode not in NUMBERS or is_wide:
            says = f"its pixels are colors ({image.mode}); a mask needs a palette, or gray of 1 to 16 bits"
            raise UserError(f"{path}: {says}")
        tiles = getattr(image, "tile", ())
        spread = SPREAD.get(tiles[0][3], 1) if tiles and isinstance(tiles[0][3], str) else 1
        _load(path, image)
        turn = UPRIGHT.get(_orientation(image))
        stored: np.ndarray = np.asarray(image if turn is None else image.transpose(turn))
        return stored.astype(np.uint16 if image.mode in (*SIXTEEN_BITS, "I") else np.uint8) // spread


def write_png(
    path: str | Path, image: np.ndarray, software: str = "", texts: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write an (h, w, 3) uint8 image, or (h, w) uint16 in gray, as PNG, atomically.

    The run-length strategy of deflate involves no match search, so the bytes do not depend on the search that suits a
    processor best.

    Args:
        path: the file.
        image: its pixels.
        software: the program that made the picture, stored in the file (see `software_of`).
        texts: what else the file says about itself.
    """
    text = PngImagePlugin.PngInfo()
    for key, value in {**texts, "Software": software}.items():
        if value:
            text.add_text(key, value)
    with atomic_path(path) as partial:
        Image.fromarray(image).save(partial, format="PNG", compress_type=3, compress_level=6, pnginfo=text)


def software_of(path: str | Path) -> str:
    """Return the program that `write_png` stored in a picture; "" if there is none, or the file is not an image."""
    try:
        with _open_file(path) as image:
            return str(image.info.get("Software", ""))
    except UserError:
        return ""


def list_images(folder: str | Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[Path]:
    """List the image files of a folder by name.

    Raises:
        UserError: the folder is missing or holds no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder{say_nearest(folder)}")
    files = (path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    images = sorted(path for path in files if not is_mac_metadata(path.name))
    if not images:
        raise UserError(f"{folder}: contains no images ({', '.join(IMAGE_SUFFIXES)})")
    return images


@contextmanager
def _open_file(path: str | Path, data: bytes | None = None) -> Iterator[ImageFile.ImageFile]:
    """Open an image with its complete metadata in `info`; turn errors into a `UserError`."""
    with _naming_damage(path, DAMAGE), open(path, "rb") if data is None else io.BytesIO(data) as file:
        refuse_excess(path, file)
        with _naming_damage(path):
            try:
                image = Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])
            except UnidentifiedImageError:
                raise _explain_unidentified(path, file) from None
        with image:
            if image.width * image.height > (most := MAX_PIXELS_OF.get(image.format or "", MAX_PIXELS)):
                raise _too_many_pixels(path, most)
            refuse_large_notes(path, image.info)
            if image.format == "PNG":
                _read_late_metadata(image, file)
            yield image


def _load(path: str | Path, image: ImageFile.ImageFile) -> None:
    """Decode the pixels of an image; turn errors into a `UserError`."""
    with _naming_damage(path):
        if image.format in ("JPEG", "MPO") and image.fp is not None:
            refuse_many_scans(path, image.fp)
        image.load()


@contextmanager
def _naming_damage(path: str | Path, kinds: tuple[type[Exception], ...] = (Exception,)) -> Iterator[None]:
    """Turn errors of the block into a `UserError` that names the file.

    Args:
        path: the file.
        kinds: errors that mean damage. In Pillow's own code this is any: its readers raise what they happen to meet.
    """
    try:
        yield
    except UserError:
        raise
    except Image.DecompressionBombError:
        raise _too_many_pixels(path, MAX_PIXELS) from None
    except kinds as error:
        if is_out_of_memory(error):
            raise
        says = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        raise UserError(f"{path}: cannot be read as an image: {says}") from None


def _too_many_pixels(path: str | Path, most: int) -> TooManyPixelsError:
    says = f"has more than {most // 10**6} million pixels, which would take too much memory"
    return TooManyPixelsError(f"{path}: {says}; make it smaller, or cut it into parts")


def _explain_unidentified(path: str | Path, file: IO[bytes]) -> UserError:
    """Return the error for a file that no reader of Pillow takes."""
    file.seek(0)
    start = file.read(16)
    for signature, name in UNREAD_FORMATS.items():
        if start.startswith(signature) or start[4:].startswith(signature):
            says = f"is a picture in the format {name}, which is not read; convert it to JPEG or PNG"
            return UnknownKindError(f"{path}: {says}")
    kind = next((kind for kind, signature in SIGNATURES.items() if re.match(signature, start, re.DOTALL)), None)
    if kind is None:
        return UnknownKindError(f"{path}: is not an image")
    if kind == "TIFF" and _has_unknown_pixels(file):
        return UnknownKindError(f"{path}: is an unsupported kind of TIFF; save it with 8 bits per channel")
    begins = f"it begins like {'an' if kind == 'AVIF' else 'a'} {kind} file"
    return UserError(f"{path}: is damaged: {begins}, but its header cannot be read")


def _has_unknown_pixels(file: IO[bytes]) -> bool:
    """Tell whether a TIFF that Pillow does not take has a complete header, so that its kind of pixels is the reason."""
    file.seek(0)
    try:
        TiffImagePlugin.TiffImageFile(file)
    except Exception as error:
        return "unknown" in str(error)  # pixel mode, or data organization
    return False


def _read_late_metadata(image: Image.Image, file: IO[bytes]) -> None:
    """Add the metadata after a PNG's pixels to its `info`, without decoding the pixels.

    Metadata chunks may come before or after the pixels. Pillow reads the later ones together with the pixels, so header
    and pixels could otherwise disagree on the orientation.
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
    except Exception:  # unreadable metadata is ignored
        return


def _late_metadata(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the metadata chunks after a PNG's pixels."""
    is_late = False
    for chunk in png_chunks(file):
        is_late |= chunk.kind == b"IDAT"
        if is_late and chunk.kind in PNG_METADATA:
            file.seek(chunk.start - 8)
            yield file.read(chunk.length + 12)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an image: 1 is upright, and so are invalid values."""
    try:
        # Not a PNG's own `getexif`, which decodes all its pixels first.
        value = Image.Image.getexif(image).get(ORIENTATION, 1)
    except Exception:  # damaged metadata may raise anything in Pillow; the pixels are still good
        return 1
    return value if isinstance(value, int) else 1


def _refuse_others(path: str | Path, image: Image.Image) -> None:
    """Raise if the meaning of an image's kind of pixels is uncertain, or they are those of a preview."""
    is_raw = Path(path).suffix.lower() in RAW_SUFFIXES or DNG_VERSION in getattr(image, "tag_v2", ())
    if image.format == "TIFF" and is_raw:
        raise UnknownKindError(f"{path}: is a raw photo of a camera, which is not read; convert it to JPEG or PNG")
    with _naming_damage(path):
        bits, is_planar = _tag(image, TIFF_BITS, 8), _tag(image, TIFF_PLANES, 1) == SEPARATE
        is_wide_planar = is_planar and bits > 8 and _tag(image, TIFF_SAMPLES, 1) > 1
        is_signed = _tag(image, TIFF_SAMPLE_FORMAT, 1) == SIGNED and bits <= 16
    if is_wide_planar:  # Pillow reads these as bytes
        raise UnknownKindError(f"{path}: planes of {bits} bits are not read; save it with 8 bits per channel")
    is_read = image.mode in (*EIGHT_BITS, *SIXTEEN_BITS) or (image.mode == "I" and image.format in SCALED_TO_16_BITS)
    if is_signed or not is_read:
        kinds = {"I": "32 bits per channel", "F": "floating-point pixels"}
        kind = "signed pixels" if is_signed else kinds.get(image.mode, f"{image.mode} pixels")
        raise UnknownKindError(f"{path}: {kind} are not read; save it with 8 bits per channel")


def _tag(image: Image.Image, tag: int, otherwise: int) -> int:
    """Return the first value of a TIFF's tag; `otherwise` for every other image."""
    value = getattr(image, "tag_v2", {}).get(tag, otherwise) if image.format == "TIFF" else otherwise
    return int(value[0] if isinstance(value, tuple) else value)


def _upright_rgb(path: str | Path, image: Image.Image) -> Image.Image:
    """Return a loaded image as RGB, upright.

    It is converted and turned strip by strip, so that memory holds no third copy of a large picture. The result does
    not keep the file's reader alive.
    """
    orientation = _orientation(image)  # Pillow turns a TIFF by itself and then removes its orientation
    turn, key = UPRIGHT.get(orientation), image.info.get("transparency")
    if image.mode == "RGB" and key is None and turn is None and image.format not in LARGE_READERS:
        return image
    if isinstance(key, tuple) and max(key) > 255:
        raise UnknownKindError(f"{path}: a transparent color of 16 bits is not read; save it with 8 bits per channel")
    width, height = image.size
    shown = Image.new("RGB", (height, width) if orientation in LYING else (width, height), "white")
    num_rows = max(1, STRIP_PIXELS // width)
    is_seen = False
    for top in range(0, height, num_rows):
        bottom = min(top + num_rows, height)
        strip = _as_rgb(image.crop((0, top, width, bottom)), image)
        if strip is None:
            continue  # nothing but white
        is_seen = True
        place = height - bottom if orientation in FROM_THE_END else top
        strip = strip if turn is None else strip.transpose(turn)
        shown.paste(strip, (place, 0) if orientation in LYING else (0, place))
    if not is_seen:
        raise UserError(f"{path}: shows nothing: all of it is transparent")
    return shown


def _as_rgb(strip: Image.Image, image: Image.Image) -> Image.Image | None:
    """Return a strip of a loaded image as RGB, not yet turned; None if all of it is transparent."""
    if strip.mode in (*SIXTEEN_BITS, "I"):
        if image.format == "PNG" and INVERSE_DEPTH in image.info:
            return Image.fromarray(colorize_levels(np.asarray(strip).astype(np.uint16)))
        return Image.fromarray(_highest_bits(strip, image)).convert("RGB")
    is_opaque = strip.mode not in WITH_ALPHA and "transparency" not in image.info
    if is_opaque or image.format == "BMP":  # most writers leave the fourth channel of a BMP at zero
        return strip.convert("RGB")
    layered = (strip.convert("LA") if strip.mode == "La" else strip).convert("RGBA")
    lowest, highest = layered.getchannel("A").getextrema()
    if highest == 0:
        return None
    if lowest == 255:
        return layered.convert("RGB")
    return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")


def _highest_bits(strip: Image.Image, image: Image.Image) -> np.ndarray:
    """Return the highest 8 bits of a strip of a gray image of up to 16, (h, w) uint8."""
    bits = _tag(image, TIFF_BITS, 16)
    levels = (np.asarray(strip).astype(np.int32) >> max(0, bits - 8)).astype(np.uint8)
    return 255 - levels if _tag(image, TIFF_PHOTOMETRIC, 1) == WHITE_IS_ZERO else levels
