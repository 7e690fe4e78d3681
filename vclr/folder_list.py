"""Several folders of images, searched in order: photos that one data set takes from the folders of another.

LVIS's validation set, for example, takes its photos from both val2017 and train2017 of COCO.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from PIL import Image

from vclr.disk_folder import DiskFolder
from vclr.errors import UserError
from vclr.file_names import NameIndex
from vclr.packed_folder import PackedFolder
from vclr.patch_folder import PatchFolder
from vclr.pictures import ImageHeader


class FolderList:
    """Folders, or their zips; the methods of `vclr.disk_folder.DiskFolder`.

    A file is the one in the first folder that has its name. `vclr doctor data` reports names for which a later folder
    has other bytes.

    Attributes:
        folders: in the order of the search.
        path: what messages call them.
    """

    def __init__(self, folders: Sequence[DiskFolder | PackedFolder | PatchFolder]) -> None:
        self.folders = folders
        self.path = Path(", ".join(str(folder.path) for folder in folders))

    def _holder(self, name: str) -> DiskFolder | PackedFolder | PatchFolder:
        """Return the first folder that has a file, or the first of all."""
        return next((folder for folder in self.folders if name in folder), self.folders[0])

    def _existing(self, name: str) -> DiskFolder | PackedFolder | PatchFolder:
        if name not in self:
            near = self.index().nearest(name)
            says = f"; nearest: {self.path_of(near)}" if near else ""
            raise UserError(f"{name}: is in none of the folders {self.path}{says}")
        return self._holder(name)

    def __contains__(self, name: str) -> bool:
        return any(name in folder for folder in self.folders)

    def find(self, name: str) -> str | None:
        """Return the name that a file has in its folder, None if there is no such file."""
        return self._holder(name).find(name)

    def path_of(self, name: str) -> Path:
        """Return a file's path; for a file that does not exist the path that it would have in the first folder."""
        return self._holder(name).path_of(name)

    def index(self, used: Collection[str] = ()) -> NameIndex:
        """Return the names of all files but those that are `used`, to find what was meant by one that is missing."""
        return NameIndex(name for folder in self.folders for name in folder.index(used).names)

    def leads_outside(self, name: str) -> Path | None:
        """Return which file a link leads to outside of its folder."""
        return self._holder(name).leads_outside(name)

    def image_names(self) -> list[str]:
        """List the image files, without those in folders below, sorted.

        Raises:
            UserError: a folder has none.
        """
        return sorted({name for folder in self.folders for name in folder.image_names()})

    def images_below(self, below: str) -> list[str]:
        """List the image files in a folder below ("": in these), by their paths here."""
        return sorted({name for folder in self.folders for name in folder.images_below(below)})

    def identity(self, name: str) -> tuple[int, ...] | None:
        """Return a key that two names of one file share, None if there is no such file."""
        return self._holder(name).identity(name)

    def size(self, name: str) -> int:
        """Return how many bytes a file has."""
        return self._existing(name).size(name)

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        return self._existing(name).read(name)

    def open(self, name: str, at_least: tuple[int, int] | None = None) -> Image.Image:
        """Read an image, RGB and upright."""
        return self._existing(name).open(name, at_least)

    def read_header(self, name: str) -> ImageHeader:
        """Read what an image says of itself in front of its pixels."""
        return self._existing(name).read_header(name)

    def conflicts(self, names: Iterable[str]) -> list[str]:
        """Return the names for which a later folder has a file with other bytes than the first that has one."""
        found = []
        for name in names:
            first, *others = [folder for folder in self.folders if name in folder] or self.folders[:1]
            if any(_differ(first, other, name) for other in others):
                found.append(name)
        return found


def _differ(
    one: DiskFolder | PackedFolder | PatchFolder, other: DiskFolder | PackedFolder | PatchFolder, name: str
) -> bool:
    if one.identity(name) == other.identity(name):
        return False
    return one.size(name) != other.size(name) or one.read(name) != other.read(name)
