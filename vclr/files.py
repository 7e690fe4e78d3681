"""Files on disk: atomic writes, checksums, json, manifests."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any

from vclr.errors import UserError
from vclr.file_lock import try_lock
from vclr.file_names import say_nearest
from vclr.json_text import parse_json

MAX_IN_PARTIAL = 100  # bytes of a file's name in that of its temporary file, which has further parts


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`, and rename it to `path` when the block ends without an error.

    If the block fails, the temporary file is removed and `path` is unchanged.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)
    try:
        with naming_file(path):
            yield partial
            with open(partial, "rb") as written:
                os.fsync(written.fileno())
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def try_name(path: Path) -> None:
    """Make the folder of a file that will be written, and raise an `OSError` if it cannot have its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileNotFoundError):
        os.lstat(path)


def partial_of(path: Path) -> Path:
    """Return the temporary path of this process for a file or folder, next to it."""
    return path.with_name(f".{_short_name(path.name)}.{os.getpid()}.partial")


def _short_name(name: str) -> str:
    """Return the part of a temporary name that says of what it is; a name that is as long as names can be is cut."""
    if len(os.fsencode(name)) <= MAX_IN_PARTIAL:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:12]
    while len(os.fsencode(name)) > MAX_IN_PARTIAL - len(digest):
        name = name[:-1]
    return name + digest


@contextmanager
def naming_file(path: str | Path) -> Iterator[None]:
    """Name the file that the block writes in errors of the system: that of a full disk names none."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def find_partials(folder: str | Path, name: str | None = None) -> Iterator[Path]:
    """Yield the temporary files and folders of `name` (default: of every name) that processes have begun."""
    return Path(folder).glob(f".{glob.escape(_short_name(name)) if name else '*'}.*.partial")


def remove_partials(folder: str | Path, name: str | None = None) -> None:
    """Remove the temporary files that killed processes left behind in `atomic_path`."""
    for partial in find_partials(folder, name):
        if partial.is_file():
            partial.unlink()


@contextmanager
def leaving_no_empty(folder: Path, is_new: bool = True) -> Iterator[None]:
    """Remove a folder if the block fails and leaves it empty, but not one that was there before."""
    try:
        yield
    except BaseException:
        if is_new:
            with suppress(OSError):  # there is something in it
                folder.rmdir()
        raise


def sync_folder(folder: str | Path) -> None:
    """Flush a folder's entries to disk, so that a renamed file keeps its new name after a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder that replaces the folder `path` when the block ends without an error.

    What killed processes left behind is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for partial in find_partials(path.parent, path.name):
        with suppress(NotADirectoryError, FileNotFoundError), _lock_folder(partial) as is_locked:
            if is_locked:
                shutil.rmtree(partial, ignore_errors=True)
    partial = partial_of(path)
    partial.mkdir()
    try:
        with _lock_folder(partial):
            yield partial
            replaced = partial.with_suffix(".replaced.partial")
            replace_folder(partial, path, replaced)
            shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def replace_folder(folder: Path, path: Path, replaced: Path) -> None:
    """Move a folder to `path`, and what was there to `replaced`, so that a kill in between deletes nothing."""
    shutil.rmtree(replaced, ignore_errors=True)
    if path.exists():
        os.replace(path, replaced)
    os.replace(folder, path)


@contextmanager
def _lock_folder(folder: Path) -> Iterator[bool | None]:
    """Lock a folder until the block or the process ends; yield what `try_lock` returns."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: str | Path, value: Any, indent: int | None = None) -> None:
    """Write `value` as json with a final newline, atomically."""
    with atomic_path(path) as partial:
        partial.write_text(dump_json(value, indent), encoding="utf-8")


def dump_json(value: Any, indent: int | None = None) -> str:
    """Return `value` as the text of a json file, with a final newline."""
    return json.dumps(value, indent=indent) + "\n"


def read_json(path: str | Path) -> Any:
    """Read a json file.

    Raises:
        UserError: the file is missing or is not valid json, for example truncated; see `parse_json`.
    """
    return parse_json(read_bytes(path), path)


def read_facts(path: Path) -> dict[str, Any]:
    """Read a json object that a run may have recorded; empty if it did not. Errors are those of `read_json`."""
    facts = read_json(path) if path.is_file() else {}
    return facts if isinstance(facts, dict) else {}


def read_bytes(path: str | Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        UserError: the file does not exist (the error names the nearest path) or cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: cannot be read: no such file{say_nearest(path)}") from None
    except IsADirectoryError:
        raise UserError(f"{path}: cannot be read: is a folder") from None
    except (OSError, ValueError) as error:  # ValueError: the name contains a null byte
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    with open(path, "rb") as file:
        return sha256_of(file)


def sha256_of(file: IO[bytes]) -> str:
    """Return the SHA-256 of the bytes from a file's position on, in hexadecimal."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def identify(path: Path) -> dict[str, Any]:
    """Identify a file by name, size and SHA-256, without its folder, which differs from machine to machine."""
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def write_manifest(folder: str | Path, files: Iterable[Path], **facts: Any) -> Path:
    """Write `folder/manifest.json`: how the folder was made, and the size and SHA-256 of each file, sorted by name."""
    entries = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in files
    }
    return write_entries(folder, entries, **facts)


def write_entries(folder: str | Path, entries: dict[str, Any], **facts: Any) -> Path:
    """Write the manifest of a folder from entries that are already known."""
    manifest = Path(folder) / "manifest.json"
    write_json(manifest, make_manifest(entries, **facts), indent=1)
    return manifest


def make_manifest(entries: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """Return the content of a manifest from entries that are already known."""
    ordered = {name: entries[name] for name in sorted(entries, key=PurePosixPath)}
    return {**facts, "num_files": len(ordered), "files": ordered}


def link_file(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it if the file system does not support links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
