"""Pack a folder of images into one zip: one object for DVC, one file for a cluster's file system."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from vclr.errors import UsageError, UserError
from vclr.file_names import say_nearest
from vclr.files import atomic_path, dump_json, make_manifest, read_json, sync_folder
from vclr.image_folders.open import MANIFEST
from vclr.image_folders.packed import PackedFolder
from vclr.outputs import check_output_file
from vclr.progress import Progress

BLOCK = 1 << 20
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
MODE = 0o100644 << 16
OVERHEAD = 256  # bytes per member beside its content and its name, which is stored twice

Entries = dict[str, dict[str, Any]]  # name -> bytes, sha256, as in a manifest


def pack_folder(folder: Path, remove: bool = False, overwrite: bool = False, quiet: bool = False) -> Path:
    """Write `folder.zip` with all files of a folder and its manifest, which is made if there is none.

    The same files give the same bytes on every machine: sorted, stored, without times and permissions. The zip appears
    whole, once every file in it has been read again and compared. Its modification time is that of the newest file, so
    nothing that was computed from the folder becomes out of date.

    Args:
        folder: what to pack, with the folders below it.
        remove: delete the folder once the zip is safe.
        overwrite: replace an existing zip that holds something else.
        quiet: show no progress.

    Returns:
        The zip. If it already holds the files, it is left alone.

    Raises:
        UsageError: the zip exists and has other contents.
        UserError: the folder is missing or empty, changes meanwhile, contains something that a zip cannot store (such
            as a link), or disagrees with its manifest; or the disk is too full.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder{say_nearest(folder)}")
    if folder.is_symlink() and remove:
        raise UsageError(f"{folder}: is a link; --remove deletes folders only")
    target = Path(f"{folder if folder.name not in ('', '..') else folder.resolve()}.zip")
    check_output_file(target, {}, option="the zip")
    files = _list_files(folder)
    progress = Progress(f"pack {folder}", len(files), quiet=quiet)
    try:
        if target.exists() and not overwrite:
            _compare(PackedFolder(target), folder, files, progress)
        else:
            _write(target, folder, files, progress)
    finally:
        progress.close()
    if remove:
        if _list_files(folder) != files:
            raise UserError(f"{folder}: changed while it was packed, so it is not removed")
        sync_folder(target.parent)
        shutil.rmtree(folder)
    return target


def _list_files(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of each file of a folder, by its name below it, sorted."""
    files = {}
    for place, folders, names in os.walk(folder, onerror=_raise):
        for path in (Path(place, name) for name in (*folders, *names)):
            facts = path.lstat()
            if not stat.S_ISDIR(facts.st_mode) and not stat.S_ISREG(facts.st_mode):
                kind = "a link" if stat.S_ISLNK(facts.st_mode) else "no file"
                raise UserError(f"{path}: is {kind}, which a zip cannot hold")
            if stat.S_ISREG(facts.st_mode):
                name = path.relative_to(folder).as_posix()
                try:
                    name.encode("utf-8")
                except UnicodeEncodeError:
                    raise UserError(f"{str(path)!a}: its name is not UTF-8") from None
                files[name] = facts.st_size, facts.st_mtime_ns
    if not files:
        raise UserError(f"{folder}: holds no file")
    return {name: files[name] for name in sorted(files)}


def _raise(error: OSError) -> None:
    raise error


def _write(target: Path, folder: Path, files: dict[str, tuple[int, int]], progress: Progress) -> None:
    needed = sum(size + OVERHEAD + 2 * len(name.encode()) for name, (size, _) in files.items())
    free = shutil.disk_usage(target.parent).free
    if needed > free:
        raise UserError(f"{target}: needs {needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free")
    with atomic_path(target) as partial:
        entries: Entries = {}
        with zipfile.ZipFile(partial, "w") as packed:
            for name in (name for name in files if name != MANIFEST):
                with open(folder / name, "rb") as source:
                    entries[name] = _add(packed, name, source, files[name][0])
                progress.advance()
            manifest = _manifest(folder, files, entries)
            if manifest is not None:
                with packed.open(_describe(MANIFEST, len(manifest)), "w") as member:
                    member.write(manifest)
                entries[MANIFEST] = _entry(manifest)
        progress.say("comparing")
        arrived = PackedFolder(partial)
        for name, entry in entries.items():  # read every file of the new zip, as trainings will
            if _entry(arrived.read(name)) != entry:
                raise UserError(f"{target}: {name} did not arrive in it whole; is the disk sound?")
        newest = max(os.stat(folder).st_mtime_ns, *(time for _, time in files.values()))
        os.utime(partial, ns=(newest, newest))
    if MANIFEST in files:
        progress.advance()


def _describe(name: str, size: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, LONG_AGO)
    info.create_system, info.external_attr, info.file_size = 3, MODE, size  # 3: Unix
    return info


def _add(packed: zipfile.ZipFile, name: str, source: BinaryIO, size: int) -> dict[str, Any]:
    """Copy a file into a zip; return its entry for a manifest."""
    digest, copied = hashlib.sha256(), 0
    with packed.open(_describe(name, size), "w") as member:
        while block := source.read(BLOCK):
            digest.update(block)
            copied += len(block)
            member.write(block)
    if copied != size:
        raise UserError(f"{source.name}: changed while it was packed")
    return {"bytes": size, "sha256": digest.hexdigest()}


def _entry(content: bytes) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _manifest(folder: Path, files: dict[str, tuple[int, int]], entries: Entries) -> bytes | None:
    """Return the bytes of the folder's manifest, which is made if it has none, once its entries were compared.

    Return None if a manifest of the whole data set is beside the folder: it covers the zip as it does the folder.
    """
    if MANIFEST in files:
        _check(folder, folder / MANIFEST, "", entries)
        return (folder / MANIFEST).read_bytes()
    if (folder.parent / MANIFEST).is_file():
        _check(folder, folder.parent / MANIFEST, f"{folder.name}/", entries)
        return None
    return dump_json(make_manifest(entries), indent=1).encode()


def _check(folder: Path, manifest: Path, prefix: str, entries: Entries) -> None:
    """Compare files with those entries of a manifest whose names begin with the prefix."""
    content = read_json(manifest)
    listed = content.get("files") if isinstance(content, dict) else None
    for listed_name, entry in listed.items() if isinstance(listed, dict) else ():
        name = listed_name.removeprefix(prefix)
        if not listed_name.startswith(prefix):
            continue
        if name not in entries:
            raise UserError(f"{folder / name}: is missing, but {manifest} names it")
        if isinstance(entry, dict) and entry.get("sha256", entries[name]["sha256"]) != entries[name]["sha256"]:
            raise UserError(f"{folder / name}: is not what {manifest} says")


def _compare(packed: PackedFolder, folder: Path, files: dict[str, tuple[int, int]], progress: Progress) -> None:
    """Refuse a zip that does not hold exactly the files of the folder, apart from a manifest."""
    different = (set(packed.names()) ^ set(files)) - ({MANIFEST} - set(files))
    for name in files if not different else ():
        if packed.read(name) != (folder / name).read_bytes():
            different = {name}
            break
        progress.advance()
    if different:
        raise UsageError(
            f"{packed.path}: exists and differs from {folder}, for example in {min(different)}; --overwrite replaces it"
        )
