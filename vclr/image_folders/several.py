"""Several folders of images, searched in order: photos that one data set takes from the folders of another.

LVIS's validation set, for example, takes its photos from both val2017 and train2017 of COCO.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from PIL import Image

from vclr.file_names import NameIndex
from vclr.image_folders.folder import ImageFolder
from vclr.pictures import ImageHeader


class SeveralFolders(ImageFolder):
    """Folders, or their zips. A file is the one in the first folder that has its name.

    `vclr doctor data` reports names for which a later folder has other bytes.
    """

    def __init__(self, folders: Sequence[ImageFolder]) -> None:
        self.folders = folders
        self.path = Path(", ".join(str(folder.path) for folder in folders))

    def _holder(self, name: str) -> ImageFolder:
        """Return the folder that has a file, else the first."""
        return next((folder for folder in self.folders if name in folder), self.folders[0])

    def find(self, name: str) -> str | None:
        return self._holder(name).find(name)

    def path_of(self, name: str) -> Path:
        return self._holder(name).path_of(name)

    def index(self, used: Collection[str] = ()) -> NameIndex:
        return NameIndex(name for folder in self.folders for name in folder.index(used).names)

    def leads_outside(self, name: str) -> Path | None:
        return self._holder(name).leads_outside(name)

    def images_below(self, below: str) -> list[str]:
        return sorted({name for folder in self.folders for name in folder.images_below(below)})

    def identity(self, name: str) -> tuple[int, ...] | None:
        return self._holder(name).identity(name)

    def size(self, name: str) -> int:
        return self._holder(name).size(name)

    def read(self, name: str) -> bytes:
        return self._holder(name).read(name)

    def open(self, name: str, at_least: tuple[int, int] | None = None) -> Image.Image:
        return self._holder(name).open(name, at_least)

    def read_header(self, name: str) -> ImageHeader:
        return self._holder(name).read_header(name)

    def conflicts(self, names: Iterable[str]) -> list[str]:
        """Return the names under which two of the folders have files with different bytes."""
        holders = {name: [folder for folder in self.folders if name in folder] for name in names}
        return [
            name
            for name, folders in holders.items()
            if len({folder.identity(name) for folder in folders}) > 1
            and len({folder.read(name) for folder in folders}) > 1
        ]
