"""Folders of photos as Objects365's archives unpack, read as if every photo lay in the folder itself.

The archives hold `patch8/objects365_v1_00420917.jpg`, in some copies `images/v1/patch8/...`; the json says
`images/v1/patch8/...`; published splits, and ours, have the name of the file alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from vclr.disk_folder import DiskFolder
from vclr.errors import UserError
from vclr.file_names import NameIndex, file_key, leaves_folder
from vclr.forwarding_folder import ForwardingFolder
from vclr.packed_folder import PackedFolder
from vclr.pictures import IMAGE_SUFFIXES

# The subfolders that may hold patches. There are 51 patches.
ABOVE_PATCHES = ("", "images", "v1", "v2", "images/v1", "images/v2", "val", "val/images/v1", "val/images/v2")
PATCH = re.compile(r"patch\d+")


class PatchFolder(ForwardingFolder):
    """A folder, or its zip, whose photos lie in folders `patchN`; the methods of `vclr.disk_folder.DiskFolder`.

    A photo is named by its file name alone, or by any path that ends in its patch and its file name.

    Attributes:
        inner: the folder itself.
        places: path in it of each photo in a patch, by file name.
    """

    def __init__(self, inner: DiskFolder | PackedFolder, paths: Iterable[str]) -> None:
        """Wrap a folder.

        Args:
            inner: the folder itself.
            paths: paths of the photos in its patches.

        Raises:
            UserError: two photos have the same name.
        """
        self.inner, self.path = inner, inner.path
        self.places: dict[str, str] = {}
        flat = set(inner.images_below(""))
        for path in paths:
            name = PurePosixPath(path).name
            other = self.places.setdefault(name, path)
            if other != path or name in flat:
                second = other if other != path else name
                raise UserError(f"{self.path}: has {name} twice, as {path} and as {second}; remove one of them")

    def _locate(self, name: str) -> tuple[DiskFolder | PackedFolder, str]:
        return self.inner, self._place(name)

    def _place(self, name: str) -> str:
        if leaves_folder(name):
            return name
        *parents, last = PurePosixPath(file_key(name)).parts or ("",)
        place = self.places.get(last)
        if place is None or (parents and parents[-1] != PurePosixPath(place).parts[-2]):
            return name
        return place

    def index(self, used: Collection[str] = ()) -> NameIndex:
        """Return the names of all files except `used` ones, to find the one that a missing name means."""
        return self.inner.index(used)

    def image_names(self) -> list[str]:
        """List the photos by file name, those in patches and those beside them, sorted."""
        return self.images_below("")

    def images_below(self, below: str) -> list[str]:
        """List the image files in a subfolder ("" for this folder and its patches)."""
        names = self.inner.images_below(below)
        return names if below else sorted([*names, *self.places])


def find_patches(folder: DiskFolder) -> list[str]:
    """List the photos in the patches of a folder on disk, by their paths in it; nearly always there are none.

    To avoid listing a folder of 100,000 photos, patches are looked up by name.
    """
    above = [name for name in ABOVE_PATCHES if not name or (folder.path / name).is_dir()]
    patches = [str(PurePosixPath(name) / f"patch{number}") for name in above for number in range(51)]
    return [path for patch in patches if (folder.path / patch).is_dir() for path in folder.images_below(patch)]


def find_packed_patches(names: Iterable[str]) -> list[str]:
    """List the photos in patches among the names of the files of a zip."""
    return [name for name in names if _is_in_patch(PurePosixPath(name)) and name.lower().endswith(IMAGE_SUFFIXES)]


def _is_in_patch(path: PurePosixPath) -> bool:
    above = "/".join(path.parts[:-2])
    return len(path.parts) > 1 and PATCH.fullmatch(path.parts[-2]) is not None and above in ABOVE_PATCHES
