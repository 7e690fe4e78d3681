"""File names as data files write them: which of them mean one file, and which file was meant by one that is missing.

Names in a json, a zip or a manifest come from other machines: with backslashes from Windows, with decomposed accents
from a Mac, with `./` in front from a script.
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

MIN_LIKENESS = 0.7  # from 0 to 1, as difflib measures it
MAX_COMPARED = 3000  # names; more would take seconds
DRIVE = re.compile("[A-Za-z]:")
CONTROL = re.compile("[\x00-\x1f\x7f]")


def file_key(name: str) -> str:
    """Return what the names of one file have in common: `./x/a.jpg`, `x//a.jpg`, and with a backslash between folders.

    The two Unicode forms of an accent are one name, too; upper and lower case are two.
    """
    if name.isascii() and not any(part in name for part in ("\\", "//", "./")):
        return name
    return unicodedata.normalize("NFC", posixpath.normpath(name.replace("\\", "/")))


def leaves_folder(name: str) -> bool:
    """Tell whether a name means something else than a file below the folder that it is looked for in.

    Absolute paths do, of Windows too, and every `..`, also one that comes back.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return not parts or parts[0].startswith("/") or ".." in parts or DRIVE.match(parts[0]) is not None


def spellings(name: str) -> Iterator[str]:
    """Yield the other names under which a file may lie on disk that `name` means for certain: see `file_key`."""
    tried = {name}
    for slashes in (name, name.replace("\\", "/"), name.replace("/", "\\")):
        for form in (slashes, *(unicodedata.normalize(kind, slashes) for kind in ("NFC", "NFD"))):
            if form not in tried:
                tried.add(form)
                yield form


class NameIndex:
    """The names of a folder, to be asked which of them is like one that is not among them."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(names)
        self._like: dict[str, str] = {}
        for form in (_alike, _last_part, _stem):
            for name in self.names:
                self._like.setdefault(form(name), name)

    def alike(self, name: str) -> str | None:
        """Return the name that differs in case, `%20`, Unicode form, folder or suffix alone, None if there is none."""
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
    """Return `; nearest: OTHER` for a path that does not exist, empty if nothing near it has such a name.

    OTHER is the path with its first wrong part replaced by what its folder has.
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
