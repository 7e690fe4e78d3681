"""Sources that a person must, or may, put in place: which files are missing, and whether those present are right."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vclr.coco.official import check_counts, last_part
from vclr.errors import UserError
from vclr.fetch.manifest import Manifest, list_entries, list_files
from vclr.fetch.sources import Manual, Source, is_archive
from vclr.files import sha256
from vclr.image_folders.open import open_folder


def missing_paths(manual: Manual, output: Path) -> list[str]:
    """Return the folders and files that do not exist."""
    files = [path for path in manual.annotations if not (output / path).is_file()]
    if manual.one_is_enough and len(files) < len(manual.annotations):
        files = []
    return [path for path in manual.folders if not (output / path).is_dir()] + files


def is_recorded(manual: Manual, output: Path, manifest: Manifest) -> bool:
    """Tell by sizes whether the files are those that were verified."""
    recorded = {path: manifest.folders.get(path) for path in manual.folders}
    folders = all(record and not manifest.changed(record, path) for path, record in recorded.items())
    return folders and all(manifest.holds(path, is_packed=True) for path in _present(manual, output))


def check(source: Source, output: Path) -> None:
    """Check the files that a person put in place.

    Raises:
        UserError: the first thing that is wrong: a number of files, a json, a missing image.
    """
    manual = source.manual
    assert manual is not None
    for folder, expected in manual.folders.items():
        files = list_files(output / folder)
        archives = [name for name in files if is_archive(name)]
        if archives:
            more = f" and {len(archives) - 1} more" if len(archives) > 1 else ""
            raise UserError(f"{output / folder}: holds archives, {archives[0]}{more}; unpack and remove them there")
        if not files or (expected and len(files) != expected):
            of = f", expected {expected}" if expected else ""
            raise UserError(f"{output / folder}: holds {len(files)} files{of}")
    for path in _present(manual, output):
        folder = manual.annotations[path]
        _check_images(output / path, output / folder, source.counts.get(path, {}), manual.is_flat)


def find_fault(source: Source, output: Path) -> str:
    """Return the error of `check` in one line, empty if there is none."""
    try:
        check(source, output)
    except UserError as error:
        return str(error)
    return ""


def verify(source: Source, output: Path, manifest: Manifest, quiet: bool = False) -> None:
    """Check the files that a person put in place, and record them."""
    manual = source.manual
    assert manual is not None
    check(source, output)
    for folder in manual.folders:
        manifest.record_folder(folder, list_entries(output / folder, quiet))
    for path in _present(manual, output):
        manifest.record_file(path, "", (output / path).stat().st_size, sha256(output / path))
    manifest.save()


def _present(manual: Manual, output: Path) -> list[str]:
    return [path for path in manual.annotations if not manual.one_is_enough or (output / path).is_file()]


def _check_images(path: Path, folder: Path, counts: Mapping[str, int], is_flat: bool) -> None:
    coco, files = check_counts(path, counts), open_folder(folder)
    for position, image in enumerate(coco.images):
        name = image.get("file_name") if isinstance(image, dict) else None
        if not isinstance(name, str) or not (name in files or (is_flat and last_part(name) in files)):
            raise UserError(f"{path}: images[{position}]: {name!r} is not in {folder}")
