"""Open the folder of images that a setting names, or several, and tell whether their files are still the same.

`FOLDER.zip` stands for a FOLDER that does not exist, and a path may end in `.zip` itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from vclr.errors import UserError
from vclr.file_names import say_nearest
from vclr.files import read_json, sha256
from vclr.image_folders.disk import DiskFolder
from vclr.image_folders.folder import ImageFolder
from vclr.image_folders.packed import PackedFolder
from vclr.image_folders.patches import find_packed_patches, find_patches, index_patches
from vclr.image_folders.several import SeveralFolders

MANIFEST = "manifest.json"

Images = str | Path | Sequence[str] | Sequence[Path]  # a folder, or several


def each_folder(images: Images) -> list[Path]:
    """Return the folders that a setting names: one, or the list of those to search."""
    return [Path(images)] if isinstance(images, str | Path) else [Path(folder) for folder in images]


def say_folders(images: Images) -> str:
    """Return how a text names a folder, or several."""
    return ", ".join(map(str, each_folder(images)))


def find_missing(images: Images) -> Path | None:
    """Return the first of the folders that does not exist, None if all do."""
    return next((folder for folder in each_folder(images) if locate(folder) is None), None)


def say_missing(path: Path) -> str:
    """Say why a path is neither a folder of images nor its zip."""
    return "is a file; name a folder, or its zip" if path.exists() else f"no such folder{say_nearest(path)}"


def locate(path: str | Path) -> Path | None:
    """Return the path of an image folder or of its zip, None if neither exists."""
    path = Path(path)
    if path.is_dir():
        return path
    for packed in (path, path.with_name(f"{path.name}.zip")):
        if packed.suffix == ".zip" and packed.is_file():
            return packed
    return None


def open_folder(images: Images) -> ImageFolder:
    """Open a folder of images, or its zip, or several of them. A process reads the table of contents of a zip once.

    Raises:
        UserError: a folder does not exist, or a zip is damaged.
    """
    folders = [_open_one(folder) for folder in each_folder(images)]
    return folders[0] if len(folders) == 1 else SeveralFolders(folders)


def _open_one(path: Path) -> DiskFolder | PackedFolder:
    found = locate(path)
    if found is None:
        raise UserError(f"{path}: {say_missing(path)}")
    facts = found.stat()
    return _open_unchanged(found, facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=32)
def _open_unchanged(path: Path, *_: int) -> DiskFolder | PackedFolder:
    folder = DiskFolder(path) if path.is_dir() else PackedFolder(path)
    photos = find_patches(folder) if isinstance(folder, DiskFolder) else find_packed_patches(folder.names())
    if photos:
        folder.patches = index_patches(folder, photos)
    return folder


def fingerprint(images: Images) -> str | None:
    """Return the sha256 of what stands for the files of an image folder, or of several folders.

    That is its manifest, also if the manifest is packed with it; or else what `vclr fetch` recorded of it in the
    manifest beside it, or that manifest, which is of the whole data set; or else the names, sizes and CRC-32 of all
    that its zip holds. A folder without a manifest has none.
    """
    found = [_fingerprint_one(folder) for folder in each_folder(images)]
    if len(found) == 1:
        return found[0]
    known = [digest for digest in found if digest is not None]
    return hashlib.sha256("\n".join(known).encode()).hexdigest() if len(known) == len(found) else None


def _fingerprint_one(path: Path) -> str | None:
    folder = _open_one(path) if locate(path) else None
    if folder is not None and MANIFEST in folder:
        return hashlib.sha256(folder.read(MANIFEST)).hexdigest()
    beside = path.parent / MANIFEST
    if beside.is_file():
        try:
            fetched = _hash_fetched(read_json(beside), path.name.removesuffix(".zip"))
        except (AttributeError, KeyError, TypeError):  # another program's manifest
            fetched = None
        return fetched or sha256(beside)
    return folder.hash_contents() if isinstance(folder, PackedFolder) else None


def _hash_fetched(manifest: Any, name: str) -> str | None:
    """Return a hash of a fetched folder that depends neither on time nor address, nor on whether it is packed.

    Args:
        manifest: manifest of the source; see `vclr.fetch.manifest`.
        name: name of the folder beside the manifest.
    """
    if not isinstance(manifest, dict) or not {"source", "folder", "files", "folders"} <= manifest.keys():
        return None
    folder = f"{manifest['folder']}/{name}"
    facts = []
    for path, record in sorted(manifest["files"].items()):
        unpacked = record.get("unpacked", {"folder": "", "files": ()})
        below = (f"{unpacked['folder']}/{file}" for file in unpacked["files"])
        if path == f"{folder}.zip" or any(file.startswith(f"{folder}/") for file in below):
            facts.append(record["sha256"])
    filled = manifest["folders"].get(folder, {"files": {}})["files"]  # with links by an earlier version, or by hand
    facts += [f"{file} {entry['bytes']} {entry['sha256']}" for file, entry in sorted(filled.items())]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest() if facts else None
