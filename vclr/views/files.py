"""Views that are files: which file of a view's folder belongs to a photo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from vclr.errors import UserError
from vclr.file_names import say_nearest
from vclr.image_folders.folder import ImageFolder
from vclr.image_folders.open import locate, open_folder
from vclr.pictures import IMAGE_SUFFIXES

TRAINING = "data.train.views"  # the only views that may be missing, by a setting
_MISSING = 255  # in place of the number of a suffix; there are far fewer suffixes


class ViewFiles:
    """The files of a view: in its folder or zip, with the stems of the photos."""

    def __init__(
        self,
        view: str,
        folder: Path,
        file_names: Sequence[str],
        key: str = TRAINING,
        may_be_missing: bool = False,
    ) -> None:
        """Find the file of each photo; errors call its folder `KEY.VIEW`.

        Raises:
            UserError: the folder does not exist, or photos have no file in it; says how many and the first. With
                `may_be_missing`, only if no photo has one.
        """
        own = f"{key}.{view}"
        if locate(folder) is None:
            raise UserError(f"{own}={folder}: does not exist{say_nearest(folder)}")
        self.folder, self.file_names = open_folder(folder), file_names
        # The suffix is all that must be remembered of a name.
        found = [find_suffix(self.folder, name) for name in file_names]
        missing = [number for number, suffix in enumerate(found) if suffix is None]
        if missing and not (may_be_missing and len(missing) < len(file_names)):
            first = file_names[missing[0]]
            says = f"{folder}: view {view} of {len(missing)} photos is missing; the first: {first}"
            if len(missing) == len(file_names):
                says += (
                    f"; it has none of these photos: name their folder with {own}=FOLDER, or leave it out with {own}=''"
                )
            elif key == TRAINING:
                says += "; render them, or set views.missing to skip or photo (docs/views.md)"
            raise UserError(says)
        self.suffixes = sorted({suffix for suffix in found if suffix is not None})
        kinds = {suffix: kind for kind, suffix in enumerate(self.suffixes)}
        self._kinds = np.array([kinds.get(str(suffix), _MISSING) for suffix in found], dtype=np.uint8)

    def missing(self) -> np.ndarray:
        """Return the places of the photos that have no file, in ascending order."""
        return np.flatnonzero(self._kinds == _MISSING)

    def has(self, index: int) -> bool:
        """Tell whether the photo at `index` has a file."""
        return bool(self._kinds[index] != _MISSING)

    def path(self, index: int) -> Path:
        """Return the file of the photo at `index`."""
        return self.folder.path_of(self._name(index))

    def open(self, index: int) -> Image.Image:
        """Read the view of the photo at `index`."""
        return self.folder.open(self._name(index))

    def _name(self, index: int) -> str:
        return view_name(self.file_names[index], self.suffixes[self._kinds[index]])


def find_suffix(folder: ImageFolder, photo: str) -> str | None:
    """Return the suffix of the file that a folder has for a photo, None if it has none.

    PNG, JPEG and the photo's own suffix are tried first, because they are the most likely.
    """
    for suffix in dict.fromkeys((".png", ".jpg", PurePosixPath(photo).suffix, *IMAGE_SUFFIXES)):
        if view_name(photo, suffix) in folder:
            return suffix
    return None


def view_name(photo: str, suffix: str) -> str:
    """Return the name of a photo's view in its folder."""
    return str(PurePosixPath(photo).with_suffix("")) + suffix
