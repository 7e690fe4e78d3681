"""The folder in which a long computation keeps its finished parts, so that a killed process loses next to nothing.

Until the output NAME is complete, with no photo left out, the folder `.NAME.work` beside it contains

    lock            locked by the process that computes
    settings.json   what every result depends on, besides the photos
    journal.jsonl   one line per finished photo (see `vclr.image_folders.walk`)
    files/          the files of finished photos
    failed.txt      errors of the photos that failed
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import vclr
from vclr.errors import UserError
from vclr.file_lock import lock_file
from vclr.files import read_json, remove_partials, replace_folder, write_json

log = logging.getLogger("vclr.work_folder")

LOCK, SETTINGS, JOURNAL, FAILED = "lock", "settings.json", "journal.jsonl", "failed.txt"
SECONDS_BETWEEN_SYNCS = 10.0  # a power cut may cost these; a kill costs only what is not yet in the journal

Json = dict[str, Any]


@contextmanager
def work_beside(output: str | Path, settings: Json, is_kept: bool = False) -> Iterator[Path]:
    """Yield the work folder of an output; remove it once the block has published the output.

    After an error it stays, if anything is finished. It also stays if photos failed.

    Args:
        output: the file or folder that the block publishes.
        settings: everything besides the photos that a result depends on. Work begun with other settings is discarded.
        is_kept: leave the work folder where it is.

    Raises:
        UserError: another process is at work on the output.
    """
    output = Path(os.path.abspath(output))
    folder = output.with_name(f".{output.name}.work")
    settings = {**settings, "vclr": vclr.__version__}
    with lock_file(folder / LOCK, f"{output}: another process is writing it; wait until that one has ended"):
        remove_partials(output.parent, output.name)
        if not _has_settings(folder, settings):
            if (folder / JOURNAL).exists():
                log.warning("%s: was begun with other settings or by another version; starting again", folder)
            _clear(folder)
            write_json(folder / SETTINGS, settings)
        try:
            yield folder
        except BaseException:
            if not (folder / JOURNAL).exists() or not (folder / JOURNAL).stat().st_size:
                _remove(folder)
            raise
        if not is_kept and not (folder / FAILED).exists():
            _remove(folder)


def _has_settings(folder: Path, settings: Json) -> bool:
    with suppress(UserError):
        return bool(read_json(folder / SETTINGS) == settings)
    return False


def _clear(folder: Path) -> None:
    """Remove everything from a work folder but its lock."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()


def _remove(folder: Path) -> None:
    _clear(folder)
    (folder / LOCK).unlink()
    with suppress(OSError):  # another process may have begun already
        folder.rmdir()


def publish(files: Path, output: Path, names: Collection[str]) -> None:
    """Replace the folder `output` with a folder of finished files, of which only the named ones are kept."""
    for path in files.iterdir():
        if path.name not in names:  # the file of a photo that is gone, or half of one when the process was killed
            path.unlink()
    replace_folder(files, output, files.with_name("replaced"))


class Journal:
    """Entries in a file, one line each after its sha256. A line that a kill cut off, or that is damaged, is ignored."""

    def __init__(self, file: BinaryIO) -> None:
        """Read the entries of a file that is open in the mode `a+b`."""
        self.file = file
        self.places: dict[str, int] = {}  # the byte at which the latest line of each item begins
        self.end = 0
        self.synced = time.monotonic()
        file.seek(0)
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(self.end)
                break
            entry = _parse(line)
            if entry is not None:
                self.places[_key(entry["item"])] = self.end
            self.end += len(line)

    def find(self, item: Any) -> Json | None:
        """Return the latest entry of an item, None if it has none."""
        place = self.places.get(_key(item))
        if place is None:
            return None
        self.file.seek(place)
        return _parse(self.file.readline())

    def add(self, entry: Json) -> None:
        """Add the entry of a finished item, `entry["item"]`."""
        payload = json.dumps(entry).encode()
        line = f"{hashlib.sha256(payload).hexdigest()} ".encode() + payload + b"\n"
        try:
            self.file.write(line)
            self.file.flush()
        except OSError as error:
            error.filename = self.file.name  # the error of a full disk names no file
            raise
        self.places[_key(entry["item"])] = self.end
        self.end += len(line)
        if time.monotonic() - self.synced > SECONDS_BETWEEN_SYNCS:
            os.fsync(self.file.fileno())
            self.synced = time.monotonic()


def _parse(line: bytes) -> Json | None:
    digest, _, payload = line.rstrip(b"\n").partition(b" ")
    if hashlib.sha256(payload).hexdigest().encode() != digest:
        return None
    entry: Json = json.loads(payload)
    return entry


def _key(item: Any) -> str:
    return json.dumps(item, sort_keys=True)
