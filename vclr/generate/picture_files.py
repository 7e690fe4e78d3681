"""Image files by the names that a json gives them: the one place where splits and audits touch a folder of images."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

from vclr.coco_checks import Json
from vclr.errors import UserError
from vclr.files import open_image, sha256


def require_pictures(images: list[Json], folder: Path, source: str | Path) -> None:
    """Make sure that the images of a json exist.

    Raises:
        UserError: no such folder, or an image that is not in it; names `source`, the json.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder (images of {source})")
    for image in images:
        path = folder / image["file_name"]
        if not os.path.isfile(path):  # False for impossible names too
            raise UserError(f"{source}: image {image['id']}: file {path} does not exist")


def picture_size(folder: Path, name: str) -> int:
    """Return the bytes of an image file."""
    return os.path.getsize(folder / name)


def picture_sha256(folder: Path, name: str) -> str:
    """Return the hash of an image file's bytes."""
    return sha256(folder / name)


def open_picture(folder: Path, name: str, at_least: tuple[int, int]) -> Image.Image:
    """Read an image, a JPEG in gray and as small as is quick but not below `at_least`, (width, height).

    Raises:
        UserError: it is missing or damaged.
    """
    return open_image(folder / name, at_least)
