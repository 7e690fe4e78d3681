"""A walk over photos, for every command that computes something from each photo.

It may be interrupted at any moment, even by kill -9. The next walk reuses the results in the work folder whose photos
and files still have the hashes in the journal, and computes only the others.

A photo that fails is left out and said. The work folder then stays beside the output, so that the next walk computes
that photo alone.
"""

from __future__ import annotations

import ast
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.random import Generator

from vclr.errors import UserError, in_one_line, is_out_of_memory
from vclr.files import link_file, naming_file, sha256
from vclr.image_folders.folder import ImageFolder
from vclr.pictures import open_image
from vclr.progress import Progress
from vclr.work_folder import FAILED, JOURNAL, Journal, Json, work_beside

log = logging.getLogger("vclr.image_folders")

PACKAGE = Path(__file__).parents[1]
# Of the ground floor, what changes results; the others read, write and report.
PIXEL_MODULES = ("vclr.depth_colors", "vclr.device", "vclr.pictures", "vclr.pretrained", "vclr.structures")

Result = tuple[Any, list[str]]  # a value for json, and the names of the files that were written


@dataclass
class Notes:
    """The photos that a result was computed from.

    Attributes:
        sources: the sha256 of each photo that was read.
        drawn_from: the sha256 of the list of photos from which others were drawn; None if none was.
    """

    sources: dict[str, str] = field(default_factory=dict)
    drawn_from: str | None = None


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
        self.notes = Notes()

    def open(self, name: str) -> np.ndarray:
        """Return the pixels of a photo, (h, w, 3) uint8 RGB.

        Raises:
            UserError: the photo is missing, is not an image, or is damaged.
        """
        data = self._read(name)
        self.notes.sources[name] = self.digests[name]
        return np.asarray(open_image(self.folder.path_of(name), data))

    def draw(self, random: Generator) -> np.ndarray:
        """Return the pixels of a photo that the generator chooses."""
        self.notes.drawn_from = self.listing
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
        failed: the items that failed in `finish`, and why.
    """

    def __init__(self, folder: Path, items: Sequence[Any], photos: Photos, journal: Journal) -> None:
        self.folder, self.items, self.photos, self.journal = folder, items, photos, journal
        self.files = folder / "files"
        self.failed: list[tuple[Any, str]] = []

    def finish(
        self,
        read: Callable[[Any], Any],
        compute: Callable[[list[Any], list[Any]], list[Result]],
        description: str,
        quiet: bool,
        batch_size: int = 1,
    ) -> None:
        """Compute the missing results, several at a time. A photo that fails is left out, with one warning for all.

        Args:
            read: returns the input of an item; raises UserError if its photo cannot be used.
            compute: returns a result for json, and the names of the files that it wrote, for each of some items, from
                these items and their inputs. If it raises UserError, or runs out of memory, for several items, it is
                called again with one item at a time.
            description: names the work in the progress display.
            quiet: show no progress.
            batch_size: largest number of items per call of `compute`.

        Raises:
            UserError: all photos failed; says why the first one did.
        """
        (self.folder / FAILED).unlink(missing_ok=True)
        progress = Progress(description, len(self.items), quiet=quiet)
        batch: list[tuple[Any, Any, Notes]] = []
        try:
            for item in self.items:
                if self._is_done(item):
                    progress.skip()
                    continue
                self.photos.forget()
                try:
                    batch.append((item, read(item), self.photos.notes))
                except UserError as error:
                    self.failed.append((item, str(error)))
                    progress.advance()
                if len(batch) == batch_size:
                    self._compute(batch, compute, progress)
                    batch = []
            if batch:
                self._compute(batch, compute, progress)
        finally:
            progress.close()
        if self.failed:
            self._report()

    def _compute(
        self,
        batch: list[tuple[Any, Any, Notes]],
        compute: Callable[[list[Any], list[Any]], list[Result]],
        progress: Progress,
    ) -> None:
        items, inputs, notes = ([*column] for column in zip(*batch, strict=True))
        self.photos.forget()
        try:
            results = compute(items, inputs)
        except Exception as error:
            is_one = len(batch) == 1
            if not isinstance(error, UserError) and (is_one or not is_out_of_memory(error)):
                raise
            if is_one:
                self.failed.append((items[0], str(error)))
                progress.advance()
        else:
            for item, result, own in zip(items, results, notes, strict=True):
                self._add(item, result, own)
            progress.advance(len(batch))
            return
        if len(batch) > 1:  # outside of the handler, which would keep what the failed call had allocated
            for one in batch:
                self._compute([one], compute, progress)

    def _add(self, item: Any, result: Result, notes: Notes) -> None:
        value, names = result
        drawn = self.photos.notes
        read = {"sources": {**notes.sources, **drawn.sources}, "drawn_from": notes.drawn_from or drawn.drawn_from}
        files = {name: _describe(self.files / name) for name in names}
        self.journal.add({"item": item, **read, "files": files, "result": value})

    def entries(self) -> Iterator[Json]:
        """Yield the journal's entry of each item that did not fail, in order, once the walk is finished."""
        failed = {_key(item) for item, _ in self.failed}
        for item in self.items:
            if _key(item) not in failed:
                entry = self.journal.find(item)
                assert entry is not None
                yield entry

    def _is_done(self, item: Any) -> bool:
        entry = self.journal.find(item)
        return entry is not None and self.photos.are_same(entry) and self._has_files(entry)

    def _has_files(self, entry: Json) -> bool:
        with suppress(FileNotFoundError):
            return all(_describe(self.files / name) == facts for name, facts in entry["files"].items())
        return False

    def _report(self) -> None:
        first = self.failed[0][1]
        if len(self.failed) == len(self.items):
            raise UserError(f"{first} (all of {len(self.items)} photos failed)")
        listed = self.folder / FAILED
        listed.write_text("".join(f"{says}\n" for _, says in self.failed), "utf-8", "backslashreplace")
        log.warning(
            "%s (%d of %d photos failed and are left out, listed in %s; the same command tries them again)",
            in_one_line(first),
            len(self.failed),
            len(self.items),
            listed,
        )


@contextmanager
def walk_photos(
    output: Path, settings: Json, items: Sequence[Any], photos: Photos, keep_work: bool = False
) -> Iterator[Walk]:
    """Yield a walk that resumes an earlier one; its work folder is removed after the block, unless photos failed.

    Args:
        output: what the block publishes once the walk is finished.
        settings: everything besides the photos that a result depends on.
        items: one distinct json value per photo.
        photos: the photos that are read.
        keep_work: leave the work folder where it is.
    """
    with work_beside(output, settings, keep_work) as folder:
        files = folder / "files"
        if not files.exists():
            files.mkdir()
            if (folder / JOURNAL).exists() and output.is_dir():  # it was published, and then the process was killed
                for path in output.iterdir():
                    link_file(path, files / path.name)
        journal = open(folder / JOURNAL, "a+b")  # noqa: SIM115
        try:
            yield Walk(folder, items, photos, Journal(journal))
        finally:
            with naming_file(folder / JOURNAL):  # on a full disk, `close` fails once more
                journal.close()


def hash_module(module: ModuleType) -> str:
    """Return one sha256 of the code that computes a result, for the settings of a walk: other code computes it again.

    That is every module in a room of the package, and of the ground floor `PIXEL_MODULES`, that it imports, directly or
    through others. What other code made is not used again. The rest of the ground floor counts by the version of vclr.
    """
    found: dict[str, Path] = {}
    names = [module.__name__]
    while names:
        name = names.pop()
        path = _file_of(name)
        if name not in found and path is not None:
            found[name] = path
            names += _imported_names(path)
    return hashlib.sha256("".join(f"{name} {sha256(found[name])}\n" for name in sorted(found)).encode()).hexdigest()


def _file_of(name: str) -> Path | None:
    """Return the file of a module that counts; None for one that does not, and for a name in a module."""
    root, *parts = name.split(".")
    place = PACKAGE.joinpath(*parts)
    files = [place.with_suffix(".py")] if name in PIXEL_MODULES or len(parts) > 1 else []
    files += [place / "__init__.py"] if parts else []
    return next((path for path in files if root == PACKAGE.name and path.is_file()), None)


def _imported_names(path: Path) -> Iterator[str]:
    """Yield the names that a file imports with `from`; some are modules."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def without_licenses(facts: Json) -> Json:
    """Leave licenses out of what a result depends on, which they are no part of; the hub does not always tell one."""
    return {
        key: without_licenses(value) if isinstance(value, dict) else value
        for key, value in facts.items()
        if key != "license"
    }


def _key(item: Any) -> str:
    return json.dumps(item, sort_keys=True)


def _describe(path: Path) -> Json:
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}
