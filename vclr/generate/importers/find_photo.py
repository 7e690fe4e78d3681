"""Find the photo that an annotation names: with folders of another machine, backslashes, or a hash before its name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from vclr.errors import UserError
from vclr.file_names import file_key, leaves_folder, say_nearest
from vclr.image_folders.open import locate, open_folder
from vclr.pictures import IMAGE_SUFFIXES, UNREAD_SUFFIXES, ImageHeader


class PhotoFinder:
    """The photos below a folder, or in its zip.

    Attributes:
        names: paths of all photos below the folder, with slashes, sorted.
    """

    def __init__(self, images: Path) -> None:
        """List the photos.

        Raises:
            UserError: there is no such folder.
        """
        if locate(images) is None:
            raise UserError(f"{images}: no such folder{say_nearest(images)}")
        self.folder = open_folder(images)
        every = self.folder.index().names
        self.names = sorted(name for name in every if name.lower().endswith(IMAGE_SUFFIXES))
        self._by_last: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for name in self.names:
            last = os.path.basename(name)
            self._by_last.setdefault(file_key(last), []).append(name)
            self._by_stem.setdefault(file_key(_without_suffix(last)), []).append(name)

    def find(self, named: str, entry: str, shorten: Callable[[str], str] | None = None) -> str:
        """Return the path of a photo below the folder.

        It is looked up by its path, then by the end of its path, by its last part, and by that part shortened. A name
        may lack the suffix, or have that of another image format.

        Args:
            named: the name in the annotations.
            entry: what messages call the annotation.
            shorten: removes what the tool adds to the last part of a name.

        Raises:
            UserError: there is no such photo, or several that may be meant.
        """
        if (found := self.seek(named, entry, shorten)) is not None:
            return found
        last = named.replace("\\", "/").rpartition("/")[2]
        near = self.folder.index().nearest(last) if last else None
        says = f"its photo {named!r} is not in {self.folder.path}"
        raise UserError(f"{entry}: {says}" + (f"; nearest: {self.folder.path / near}" if near else ""))

    def find_end(self, path: str) -> str | None:
        """Return the only photo whose path ends in `path`, which has folders; None if there is none, or several."""
        end = f"/{file_key(path)}"
        found = [name for name in self._by_last.get(end.rpartition("/")[2], []) if f"/{file_key(name)}".endswith(end)]
        return found[0] if len(found) == 1 else None

    def seek(self, named: str, entry: str, shorten: Callable[[str], str] | None = None) -> str | None:
        """Do the same, but return None if there is no such photo."""
        parts = [part for part in named.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        if not parts or "\0" in named:
            return None
        for start in range(len(parts)):
            name = "/".join(parts[start:])
            found = None if leaves_folder(name) else self.folder.find(name)
            if found is not None and found.lower().endswith(IMAGE_SUFFIXES):
                return found.replace("\\", "/") if os.sep == "\\" else found
        last = [parts[-1]] + ([shorten(parts[-1])] if shorten is not None else [])
        for name in last:
            for table, key in ((self._by_last, name), (self._by_stem, name), (self._by_stem, _without_suffix(name))):
                meant = table.get(file_key(key), [])
                if len(meant) > 1:
                    raise UserError(f"{entry}: its photo {named!r} may be {meant[0]} or {meant[1]}; rename one of them")
                if meant:
                    return meant[0]
        return None

    def read_header(self, name: str) -> ImageHeader:
        """Read the header of a photo."""
        return self.folder.read_header(name)


def _without_suffix(name: str) -> str:
    """Return a name without the suffix of an image; `clip.001` has none."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in (*IMAGE_SUFFIXES, *UNREAD_SUFFIXES) else name
