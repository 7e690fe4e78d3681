"""Files that are whole or absent: atomic writes, checksums, json, images, manifests."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from vclr.errors import UserError, describe_missing

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
ORIENTATION = ExifTags.Base.Orientation
TURNED = range(2, 9)  # orientations of EXIF that are not upright
LYING = range(5, 9)  # those of them that exchange height and width


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name once the block has ended without an error.

    A failed block leaves neither the temporary file nor a changed `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with open(partial, "rb") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say whose bytes it refuses
        raise
    finally:
        partial.unlink(missing_ok=True)


def remove_partials(folder: str | Path) -> None:
    """Remove the temporary files of `atomic_path` that processes left in a folder when they were killed."""
    for partial in Path(folder).glob(".*.partial"):
        if partial.is_file():
            partial.unlink()


def sync_folder(folder: str | Path) -> None:
    """Bring a folder's entries to the disk: a file that was renamed is there under its new name after a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder that replaces the folder `path` once the block has ended without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        if path.exists():
            shutil.rmtree(path)
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_json(path: str | Path, value: Any, indent: int | None = None) -> None:
    """Write `value` as json with a final newline, atomically."""
    with atomic_path(path) as partial:
        partial.write_text(dump_json(value, indent), encoding="utf-8")


def dump_json(value: Any, indent: int | None = None) -> str:
    """Return the text of a json file: with a final newline."""
    return json.dumps(value, indent=indent) + "\n"


def read_json(path: str | Path) -> Any:
    """Read a json file.

    Raises:
        UserError: the file is missing or is not valid json (cut off, say); names file, line and column.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(describe_missing(path, f"cannot be read: {error.strerror}")) from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not a text file") from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: line {error.lineno} column {error.colno}: not valid json: {error.msg}") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists within lists without end
        raise UserError(f"{path}: not usable json: {error}") from None


class ImageHeader(NamedTuple):
    """What an image file says of itself before its pixels: its size as `open_image` turns it, and whether it does."""

    height: int
    width: int
    is_turned: bool


@contextmanager
def _open_file(path: str | Path, data: bytes | None = None) -> Iterator[Image.Image]:
    try:
        with Image.open(path if data is None else io.BytesIO(data)) as image:
            yield image
    except UnidentifiedImageError:
        raise UserError(f"{path}: is not an image") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: cannot be read as an image: {error}") from None


def open_image(path: str | Path, data: bytes | None = None, at_least: tuple[int, int] | None = None) -> Image.Image:
    """Read an image file as RGB, turned upright where its EXIF data says how.

    Args:
        path: the file.
        data: its bytes, where they are not in a file of that name; it then only names them.
        at_least: (width, height) that are enough: of a JPEG, only as much is then decoded, and without color.

    Raises:
        UserError: the file is missing, is not an image, or is damaged.
    """
    with _open_file(path, data) as image:
        if at_least is not None:
            image.draft("L", at_least)
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return image if image.mode == "RGB" else image.convert("RGB")


def read_image_header(path: str | Path, data: bytes | None = None) -> ImageHeader:
    """Read what an image file says of itself, but no pixels: damage to these is not found.

    Raises:
        UserError: the file is missing, or is not an image.
    """
    with _open_file(path, data) as image:
        # Asked for EXIF data that it does not have in front, a PNG reads all its pixels.
        orientation = image.getexif().get(ORIENTATION, 1) if image.format != "PNG" or "exif" in image.info else 1
        height, width = (image.width, image.height) if orientation in LYING else (image.height, image.width)
        return ImageHeader(height, width, orientation in TURNED)


def read_image(path: str | Path) -> np.ndarray:
    """Read an image file as `open_image` does.

    Returns:
        (h, w, 3) uint8.
    """
    return np.asarray(open_image(path))


def write_png(path: str | Path, image: np.ndarray) -> None:
    """Write an (h, w, 3) uint8 image as PNG, atomically.

    The run-length strategy of deflate involves no match search, so the bytes do not depend on which search a
    processor is fastest at.
    """
    with atomic_path(path) as partial:
        Image.fromarray(image).save(partial, format="PNG", compress_type=3, compress_level=6)


def list_images(folder: str | Path) -> list[Path]:
    """List the image files of a folder by name.

    Raises:
        UserError: the folder is missing or holds no image.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(describe_missing(folder, "no such folder"))
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise UserError(f"{folder}: holds no image ({', '.join(IMAGE_SUFFIXES)})")
    return images


def sha256(path: str | Path) -> str:
    """Return the sha256 of a file's bytes as hexadecimal text."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_manifest(folder: str | Path, files: Iterable[Path], **facts: Any) -> Path:
    """Write `folder/manifest.json`: what made the folder, and each file's size and sha256, sorted by name."""
    entries = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in files
    }
    return write_entries(folder, entries, **facts)


def write_entries(folder: str | Path, entries: dict[str, Any], **facts: Any) -> Path:
    """Write the manifest of files whose entries are known."""
    manifest = Path(folder) / "manifest.json"
    write_json(manifest, make_manifest(entries, **facts), indent=1)
    return manifest


def make_manifest(entries: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """Return what a manifest says of files whose entries are known."""
    ordered = {name: entries[name] for name in sorted(entries, key=PurePosixPath)}
    return {**facts, "num_files": len(ordered), "files": ordered}


def link_file(source: Path, target: Path) -> None:
    """Give a file a second name, or where the file system cannot, copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
