"""A folder of images on disk."""

from __future__ import annotations

import itertools
import os
from collections.abc import Collection
from pathlib import Path

from PIL import Image

from vclr.file_names import NameIndex, file_key, is_mac_metadata, leaves_folder, spellings
from vclr.image_folders.folder import ImageFolder
from vclr.image_folders.patches import Patches
from vclr.pictures import IMAGE_SUFFIXES, ImageHeader, open_image, read_image_header


class DiskFolder(ImageFolder):
    """A folder on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.patches = Patches()

    def find(self, name: str) -> str | None:
        if leaves_folder(name):
            return None
        place = self.patches.place(name)
        return next((form for form in (place, *spellings(place)) if os.path.isfile(self.path / form)), None)

    def index(self, used: Collection[str] = ()) -> NameIndex:
        files = (Path(place, name) for place, _, names in os.walk(self.path) for name in names)
        names = (file.relative_to(self.path).as_posix() for file in files)
        return NameIndex(name for name in names if file_key(name) not in used and not is_mac_metadata(name))

    def leads_outside(self, name: str) -> Path | None:
        place = self.path_of(name)
        below = [place, *itertools.takewhile(lambda folder: folder != self.path, place.parents)]
        if not any(map(os.path.islink, below)):
            return None
        target = Path(os.path.realpath(place))
        return None if target.is_relative_to(os.path.realpath(self.path)) else target

    def images_below(self, below: str) -> list[str]:
        folder = self.path / below
        entries = os.scandir(folder) if folder.is_dir() else ()
        names = [entry.name for entry in entries if not entry.is_dir() and not is_mac_metadata(entry.name)]
        images = [os.path.join(below, name) for name in names if name.lower().endswith(IMAGE_SUFFIXES)]
        return images if below else [*images, *self.patches]

    def identity(self, name: str) -> tuple[int, ...] | None:
        if name not in self:
            return None
        facts = self.path_of(name).stat()
        return facts.st_dev, facts.st_ino

    def size(self, name: str) -> int:
        return os.path.getsize(self._existing(name))

    def read(self, name: str) -> bytes:
        return self._existing(name).read_bytes()

    def open(self, name: str, at_least: tuple[int, int] | None = None) -> Image.Image:
        return open_image(self._existing(name), at_least=at_least)

    def read_header(self, name: str) -> ImageHeader:
        return read_image_header(self._existing(name))

    def _existing(self, name: str) -> Path:
        if (found := self.find(name)) is None:
            raise self.missing(name)
        return self.path / found
