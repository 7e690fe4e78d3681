"""Photos in folders `patchN`, as Objects365's archives unpack, read as if every photo lay in the folder itself.

The archives hold `patch8/objects365_v1_00420917.jpg`, in some copies `images/v1/patch8/...`; the json says
`images/v1/patch8/...`; published splits, and ours, have the name of the file alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from vclr.errors import UserError
from vclr.file_names import file_key
from vclr.image_folders.folder import ImageFolder
from vclr.pictures import IMAGE_SUFFIXES

# The subfolders that may hold patches. There are 51 patches.
ABOVE_PATCHES = ("", "images", "v1", "v2", "images/v1", "images/v2", "val", "val/images/v1", "val/images/v2")
PATCH = re.compile(r"(?:(.+)/)?patch\d+/[^/]+")


class Patches(dict[str, str]):
    """The path in the folder of each photo in a patch, by file name; empty for nearly all folders."""

    def place(self, name: str) -> str:
        """Return the path of a photo that is named by its file name, or by any path that ends in patch and file name.

        All other names are returned unchanged.
        """
        if not self:
            return name
        *parents, last = PurePosixPath(file_key(name)).parts or ("",)
        place = self.get(last)
        if place is None or (parents and parents[-1] != PurePosixPath(place).parts[-2]):
            return name
        return place


def find_patches(folder: ImageFolder) -> list[str]:
    """List the photos in the patches of a folder on disk, by their paths in it.

    To avoid listing a folder of 100,000 photos, patches are looked up by name.
    """
    above = [name for name in ABOVE_PATCHES if not name or (folder.path / name).is_dir()]
    patches = [str(PurePosixPath(name) / f"patch{number}") for name in above for number in range(51)]
    return [path for patch in patches if (folder.path / patch).is_dir() for path in folder.images_below(patch)]


def find_packed_patches(names: Iterable[str]) -> list[str]:
    """List the photos in patches among the names of the files of a zip."""
    found = (PATCH.fullmatch(name) for name in names if name.lower().endswith(IMAGE_SUFFIXES))
    return [match[0] for match in found if match is not None and (match[1] or "") in ABOVE_PATCHES]


def index_patches(folder: ImageFolder, paths: Iterable[str]) -> Patches:
    """Index the photos in the patches of a folder.

    Raises:
        UserError: two photos have the same name.
    """
    patches = Patches()
    flat = set(folder.images_below(""))
    for path in paths:
        name = PurePosixPath(path).name
        other = patches.setdefault(name, path)
        if other != path or name in flat:
            second = other if other != path else name
            raise UserError(f"{folder.path}: has {name} twice, as {path} and as {second}; remove one of them")
    return patches
