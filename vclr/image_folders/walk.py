"""A walk over photos, for every command that computes something from each photo.

It may be interrupted at any moment, even by kill -9. The next walk reuses the results in the work folder whose photos
and files still have the hashes in the journal, and computes only the others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.random import Generator

from vclr.errors import UserError
from vclr.files import link_file, sha256
from vclr.image_folders.folder import ImageFolder
from vclr.pictures import open_image
from vclr.progress import track
from vclr.work_folder import JOURNAL, Journal, Json, work_beside


class Photos:
    """The photos of a folder, with notes about those that a result was computed from."""

    def __init__(self, folder: ImageFolder, names: Sequence[str] = ()) -> None:
        """Take a folder, and the names of the photos from which `draw` draws."""
        self.folder, self.names = folder, names
        self.listing = hashlib.sha256(json.dumps(names).encode()).hexdigest()
        self.digests: dict[str, str] = {}
        self.forget()

    def forget(self) -> None:
        """Begin the notes of another result."""
        self.sources: dict[str, str] = {}  # photo -> sha256
        self.drawn_from: str | None = None

    def open(self, name: str) -> np.ndarray:
        """Return the pixels of a photo, (h, w, 3) uint8 RGB.

        Raises:
            UserError: the photo is missing, is not an image, or is damaged.
        """
        data = self._read(name)
        self.sources[name] = self.digests[name]
        return np.asarray(open_image(self.folder.path_of(name), data))

    def draw(self, random: Generator) -> np.ndarray:
        """Return the pixels of a photo that the generator chooses."""
        self.drawn_from = self.listing
        return self.open(self.names[int(random.integers(len(self.names)))])

    def are_same(self, entry: Json) -> bool:
        """Tell whether the photos are still those that an entry of the journal was made from."""
        with suppress(UserError):
            return entry["drawn_from"] in (None, self.listing) and all(
                self._digest(name) == digest for name, digest in entry["sources"].items()
            )
        return False

    def _digest(self, name: str) -> str:
        if name not in self.digests:
            self._read(name)
        return self.digests[name]

    def _read(self, name: str) -> bytes:
        try:
            data = self.folder.read(name)
        except OSError as error:
            raise UserError(f"{self.folder.path_of(name)}: cannot be read as an image: {error.strerror}") from None
        self.digests[name] = hashlib.sha256(data).hexdigest()
        return data


class Walk:
    """A walk over photos.

    Attributes:
        files: the folder in which files are written.
    """

    def __init__(self, folder: Path, items: Sequence[Any], photos: Photos, journal: Journal) -> None:
        self.folder, self.items, self.photos, self.journal = folder, items, photos, journal
        self.files = folder / "files"

    def finish(self, make: Callable[[Any], tuple[Any, list[str]]], description: str, quiet: bool) -> None:
        """Compute the missing results. A photo that fails does not stop the walk.

        Args:
            make: computes one item, and returns a result for json and the names of the files that it wrote; raises
                UserError if the photo cannot be used.
            description: names the work in the progress display.
            quiet: show no progress.

        Raises:
            UserError: photos failed; says how many, and why the first one did.
        """
        failures: list[str] = []
        for item in track(self.items, description, quiet):
            entry = self.journal.find(item)
            if entry is not None and self.photos.are_same(entry) and self._has_files(entry):
                continue
            self.photos.forget()
            try:
                result, names = make(item)
            except UserError as error:
                failures.append(str(error))
                continue
            read = {"sources": self.photos.sources, "drawn_from": self.photos.drawn_from}
            files = {name: _describe(self.files / name) for name in names}
            self.journal.add({"item": item, **read, "files": files, "result": result})
        if failures:
            self._report(failures)

    def entries(self) -> Iterator[Json]:
        """Yield the journal's entry of each item, in order, once the walk is finished."""
        for item in self.items:
            entry = self.journal.find(item)
            assert entry is not None
            yield entry

    def _has_files(self, entry: Json) -> bool:
        with suppress(FileNotFoundError):
            return all(_describe(self.files / name) == facts for name, facts in entry["files"].items())
        return False

    def _report(self, failures: list[str]) -> None:
        says = f"{failures[0]} ({len(failures)} of {len(self.items)} photos failed"
        if self.journal.places:
            listed = self.folder / "failed.txt"
            listed.write_text("".join(f"{line}\n" for line in failures), "utf-8", "backslashreplace")
            says += f", listed in {listed}; the finished ones are kept: repair or remove these, then run it again"
        raise UserError(f"{says})")


@contextmanager
def walk_photos(output: Path, settings: Json, items: Sequence[Any], photos: Photos) -> Iterator[Walk]:
    """Yield a walk that resumes an earlier one; its work folder is removed after the block.

    Args:
        output: what the block publishes once the walk is finished.
        settings: everything besides the photos that a result depends on.
        items: one distinct json value per photo.
        photos: the photos that are read.
    """
    with work_beside(output, settings) as folder:
        files = folder / "files"
        if not files.exists():
            files.mkdir()
            if (folder / JOURNAL).exists() and output.is_dir():  # it was published, and then the process was killed
                for path in output.iterdir():
                    link_file(path, files / path.name)
        with open(folder / JOURNAL, "a+b") as journal:
            yield Walk(folder, items, photos, Journal(journal))


def hash_module(module: ModuleType) -> str:
    """Return the sha256 of a module, for the settings of a walk: what other code made is not used again."""
    return sha256(str(module.__file__))


def _describe(path: Path) -> Json:
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}
