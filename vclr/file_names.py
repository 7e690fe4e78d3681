"""File names in data files: which spellings mean the same file, and which file a wrong name probably means.

Names in a json, a zip or a manifest come from other machines: with backslashes from Windows, with decomposed accents
from a Mac, with a leading `./` from a script.
"""

from __future__ import annotations

import difflib
import os
import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

MIN_LIKENESS = 0.7  # similarity from 0 to 1, as measured by difflib
MAX_COMPARED = 3000  # names; comparing more takes seconds
DRIVE = re.compile("[A-Za-z]:")
CONTROL = re.compile("[\x00-\x1f\x7f]")


def file_key(name: str) -> str:
    """Return a key that is the same for all spellings of a file: `./x/a.jpg`, `x//a.jpg`, or with backslashes.

    The two Unicode forms of an accent give the same key; upper and lower case do not.
    """
    if name.isascii() and not any(part in name for part in ("\\", "//", "./")):
        return name
    return unicodedata.normalize("NFC", posixpath.normpath(name.replace("\\", "/")))


def leaves_folder(name: str) -> bool:
    """Tell whether a name may lead outside of the folder in which it is looked up.

    This holds for absolute paths, also of Windows, and for every path with `..`, even if it leads back.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return not parts or parts[0].startswith("/") or ".." in parts or DRIVE.match(parts[0]) is not None


def is_mac_metadata(name: str | Path) -> bool:
    """Tell whether a Mac added a file beside another one: `._a.jpg` on other file systems, `__MACOSX/` in a zip.

    It has the suffix of that other file, but other content.
    """
    parts = str(name).replace("\\", "/").split("/")
    return parts[-1].startswith("._") or "__MACOSX" in parts


def list_files(files: Iterable[Path]) -> list[Path]:
    """Return files in order, without those that a Mac added."""
    return sorted(file for file in files if not is_mac_metadata(file.name))


def spellings(name: str) -> Iterator[str]:
    """Yield the other spellings under which the file called `name` may be stored; see `file_key`."""
    tried = {name}
    for slashes in (name, name.replace("\\", "/"), name.replace("/", "\\")):
        for form in (slashes, *(unicodedata.normalize(kind, slashes) for kind in ("NFC", "NFD"))):
            if form not in tried:
                tried.add(form)
                yield form


class NameIndex:
    """An index of the names in a folder, to look up the one that a wrong name probably means."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(names)
        self._like: dict[str, str] = {}
        for form in (_alike, _last_part, _stem):
            for name in self.names:
                self._like.setdefault(form(name), name)

    def alike(self, name: str) -> str | None:
        """Return the name that differs only in case, `%20`, Unicode form, folder or suffix; None if there is none."""
        return next((self._like[form(name)] for form in (_alike, _last_part, _stem) if form(name) in self._like), None)

    def nearest(self, name: str) -> str | None:
        """Return the name that is alike, else the one with the fewest other letters, None if all differ a lot."""
        if (found := self.alike(name)) is not None or len(self.names) > MAX_COMPARED:
            return found
        return next(iter(difflib.get_close_matches(name, self.names, n=1, cutoff=MIN_LIKENESS)), None)


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", file_key(unquote(name))).casefold()


def _last_part(name: str) -> str:
    return f"*/{posixpath.basename(_alike(name))}"


def _stem(name: str) -> str:
    return f"{posixpath.splitext(_last_part(name))[0]}.*"


def say_nearest(path: str | Path) -> str:
    """Return `; nearest: OTHER` for a path that does not exist, or an empty string if there is no similar name.

    OTHER is the path up to its first wrong part, with that part replaced by the nearest name in its folder.
    """
    path = Path(path)
    for folder, wrong in zip((*path.parents,), (path, *path.parents), strict=False):
        try:
            names = os.listdir(folder)
        except OSError:
            continue  # it does not exist either
        near = NameIndex(name for name in names if not name.startswith(".")).nearest(wrong.name)
        return f"; nearest: {folder / near}" if near is not None and near != wrong.name else ""
    return ""


def shown_path(path: Path) -> Path:
    """Return a path as messages show it: relative to the working directory if it is below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
