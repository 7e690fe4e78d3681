"""Several folders of images, searched in order: photos that one data set takes from the folders of another.

LVIS's validation set, for example, takes its photos from both val2017 and train2017 of COCO.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from vclr.disk_folder import DiskFolder
from vclr.file_names import NameIndex
from vclr.forwarding_folder import ForwardingFolder
from vclr.packed_folder import PackedFolder
from vclr.patch_folder import PatchFolder

OneFolder = DiskFolder | PackedFolder | PatchFolder


class FolderList(ForwardingFolder):
    """Folders, or their zips; the methods of `vclr.disk_folder.DiskFolder`.

    A file is the one in the first folder that has its name. `vclr doctor data` reports names for which a later folder
    has other bytes.

    Attributes:
        folders: in the order of the search.
        path: what messages call them.
    """

    def __init__(self, folders: Sequence[OneFolder]) -> None:
        self.folders = folders
        self.path = Path(", ".join(str(folder.path) for folder in folders))

    def _locate(self, name: str) -> tuple[OneFolder, str]:
        return next((folder for folder in self.folders if name in folder), self.folders[0]), name

    def index(self, used: Collection[str] = ()) -> NameIndex:
        """Return the names of all files except `used` ones, to find the one that a missing name means."""
        return NameIndex(name for folder in self.folders for name in folder.index(used).names)

    def image_names(self) -> list[str]:
        """List the image files, without those in subfolders, sorted.

        Raises:
            UserError: a folder has none.
        """
        return sorted({name for folder in self.folders for name in folder.image_names()})

    def images_below(self, below: str) -> list[str]:
        """List the image files in a subfolder ("" for the folders themselves), by their paths here."""
        return sorted({name for folder in self.folders for name in folder.images_below(below)})

    def conflicts(self, names: Iterable[str]) -> list[str]:
        """Return the names under which two of the folders have files with different bytes."""
        holders = {name: [folder for folder in self.folders if name in folder] for name in names}
        return [
            name
            for name, folders in holders.items()
            if len({folder.identity(name) for folder in folders}) > 1
            and len({folder.read(name) for folder in folders}) > 1
        ]
