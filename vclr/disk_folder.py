"""A folder of images on disk.

A file is found under every name that means it (`vclr.file_names.spellings`). A name that leads out of the folder is
never found.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection
from pathlib import Path

from PIL import Image

from vclr.errors import UserError
from vclr.file_names import NameIndex, file_key, leaves_folder, spellings
from vclr.pictures import IMAGE_SUFFIXES, ImageHeader, list_images, open_image, read_image_header


class DiskFolder:
    """A folder on disk. A file is named by its path below the folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __contains__(self, name: str) -> bool:
        return self.find(name) is not None

    def find(self, name: str) -> str | None:
        """Return the name that a file has here, None if there is no such file or its name leaves the folder."""
        if leaves_folder(name):
            return None
        return next((form for form in (name, *spellings(name)) if os.path.isfile(self.path / form)), None)

    def path_of(self, name: str) -> Path:
        """Return a file's path; for a missing file, the path that it should have."""
        return self.path / (self.find(name) or name)

    def index(self, used: Collection[str] = ()) -> NameIndex:
        """Return the names of all files, including those in subfolders, to find the one that a missing name means.

        Files whose `file_key` is in `used` are left out: they belong to another entry.
        """
        files = (Path(place, name) for place, _, names in os.walk(self.path) for name in names)
        names = (file.relative_to(self.path).as_posix() for file in files)
        return NameIndex(name for name in names if file_key(name) not in used)

    def leads_outside(self, name: str) -> Path | None:
        """Return the file outside of this folder to which a link (the file, or a folder above it) leads, or None."""
        place = self.path_of(name)
        below = [place, *itertools.takewhile(lambda folder: folder != self.path, place.parents)]
        if not any(map(os.path.islink, below)):
            return None
        target = Path(os.path.realpath(place))
        return None if target.is_relative_to(os.path.realpath(self.path)) else target

    def image_names(self) -> list[str]:
        """List the image files, without those in subfolders, sorted.

        Raises:
            UserError: there are none.
        """
        return [path.name for path in list_images(self.path)]

    def images_below(self, below: str) -> list[str]:
        """List the image files in a subfolder ("" for this folder), by their paths here."""
        folder = self.path / below
        names = os.listdir(folder) if folder.is_dir() else []
        return [os.path.join(below, name) for name in names if name.lower().endswith(IMAGE_SUFFIXES)]

    def identity(self, name: str) -> tuple[int, ...] | None:
        """Return a key that two names of one file share, None if there is no such file."""
        if name not in self:
            return None
        facts = self.path_of(name).stat()
        return facts.st_dev, facts.st_ino

    def size(self, name: str) -> int:
        """Return how many bytes a file has."""
        return os.path.getsize(self._existing(name))

    def read(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            UserError: there is no such file.
        """
        return self._existing(name).read_bytes()

    def open(self, name: str, at_least: tuple[int, int] | None = None) -> Image.Image:
        """Read an image, RGB and upright (see `open_image`).

        Raises:
            UserError: the file is missing, is not an image, or is damaged.
        """
        return open_image(self._existing(name), at_least=at_least)

    def read_header(self, name: str) -> ImageHeader:
        """Read the header of an image (see `read_image_header`)."""
        return read_image_header(self._existing(name))

    def _existing(self, name: str) -> Path:
        found = self.find(name)
        if found is None:
            near = self.index().nearest(name)
            raise UserError(f"{self.path / name}: does not exist" + (f"; nearest: {self.path / near}" if near else ""))
        return self.path / found
