"""Sources that a person must put in place: what is missing, and whether what is there is right."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from vclr.errors import UserError
from vclr.fetch.counts import check_counts
from vclr.fetch.manifest import Manifest, list_entries, list_files
from vclr.fetch.sources import Manual, Source
from vclr.files import sha256


def missing_paths(manual: Manual, output: Path) -> list[str]:
    """Return the folders and files that are not there at all."""
    files = [path for path in manual.annotations if not (output / path).is_file()]
    return [path for path in manual.folders if not (output / path).is_dir()] + files


def is_recorded(manual: Manual, manifest: Manifest) -> bool:
    """Tell by sizes whether what is there is what was verified."""
    folders = all(
        path in manifest.folders and not manifest.changed(manifest.folders[path], path) for path in manual.folders
    )
    return folders and all(manifest.holds(path, is_packed=True) for path in manual.annotations)


def verify(source: Source, output: Path, manifest: Manifest, quiet: bool = False) -> None:
    """Check what a person put in place, and record it.

    Raises:
        UserError: the first thing that is wrong: a number of files, a json, an image that is not there.
    """
    manual = source.manual
    assert manual is not None
    present = {folder: list_files(output / folder) for folder in {*manual.folders, *manual.annotations.values()}}
    for folder, expected in manual.folders.items():
        if not present[folder] or (expected and len(present[folder]) != expected):
            of = f", expected {expected}" if expected else ""
            raise UserError(f"{output / folder}: holds {len(present[folder])} files{of}")
    for path, folder in manual.annotations.items():
        _check_images(output / path, set(present[folder]), output / folder, source.counts.get(path, {}))
    for folder in manual.folders:
        manifest.record_folder(folder, list_entries(output / folder, quiet))
    for path in manual.annotations:
        manifest.record_file(path, "", (output / path).stat().st_size, sha256(output / path))
    manifest.save()


def _check_images(path: Path, present: set[str], folder: Path, counts: Any) -> None:
    for position, image in enumerate(check_counts(path, counts).images):
        name = image.get("file_name") if isinstance(image, dict) else None
        if not isinstance(name, str) or not {name, PurePosixPath(name).name} & present:
            raise UserError(f"{path}: images[{position}]: {name!r} is not in {folder}")
