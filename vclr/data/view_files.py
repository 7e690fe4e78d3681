"""Views that are files: which file of a view's folder belongs to a photo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vclr.errors import UserError


class ViewFiles:
    """The files of a view: those in its folder with the photos' stems."""

    def __init__(self, view: str, folder: Path, file_names: Sequence[str]) -> None:
        """Find the file of each photo.

        Raises:
            UserError: no such folder, or photos without a file; says how many and the first.
        """
        if not folder.is_dir():
            raise UserError(f"data.train.views.{view}={folder}: does not exist")
        self.folder, self.file_names = folder, file_names
        # Which suffix it is, is all to remember of a path.
        found = [find_suffix(folder, name) for name in file_names]
        missing = [number for number, suffix in enumerate(found) if suffix is None]
        if missing:
            first = file_names[missing[0]]
            raise UserError(f"{folder}: view {view} of {len(missing)} photos is missing; the first: {first}")
        self.suffixes = sorted({suffix for suffix in found if suffix is not None})
        self._kinds = np.array([self.suffixes.index(str(suffix)) for suffix in found], dtype=np.uint8)

    def path(self, index: int) -> Path:
        """Return the file of the photo at `index`."""
        return view_path(self.folder, self.file_names[index], self.suffixes[self._kinds[index]])


def find_suffix(folder: Path, file_name: str) -> str | None:
    """Return the suffix of the file that a folder has for a photo, None where it has none."""
    for suffix in (".png", ".jpg", Path(file_name).suffix):
        if view_path(folder, file_name, suffix).is_file():
            return suffix
    return None


def view_path(folder: Path, file_name: str, suffix: str) -> Path:
    """Return where a folder has the file of a photo."""
    stem = folder / Path(file_name).with_suffix("")
    return stem.with_name(stem.name + suffix)
