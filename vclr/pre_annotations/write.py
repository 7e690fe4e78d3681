"""Write the objects of photos in the formats of annotation tools."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from vclr.catalog.annotation_tools import ANNOTATION_TOOLS
from vclr.errors import UsageError, nearest
from vclr.file_names import CONTROL
from vclr.pre_annotations import coco, cvat, fiftyone, instances, labelme, labelstudio, supervision
from vclr.pre_annotations.photo import FoundPhoto, Naming

WRITERS: dict[str, Callable[[list[FoundPhoto], Path, Naming], None]] = {
    "coco": coco.write,
    "cvat": cvat.write,
    "labelstudio": labelstudio.write,
    "labelme": labelme.write,
    "fiftyone": fiftyone.write,
    "supervision": supervision.write,
    "instances": instances.write,
}


def read_formats(options: Iterable[str]) -> list[str]:
    """Return the formats that options name, separated by commas, each once.

    Raises:
        UsageError: there is no format of this name.
    """
    formats = [name.strip() for option in options for name in option.split(",")]
    for name in formats:
        if name not in ANNOTATION_TOOLS:
            known = ", ".join(ANNOTATION_TOOLS)
            near = nearest(name, ANNOTATION_TOOLS)
            raise UsageError(f"--format {name}: is not one of {known}; nearest: {near}")
    return list(dict.fromkeys(formats))


def name_photos(photos: Sequence[Path]) -> list[str]:
    """Return each photo's path below the folder that holds all of them, with slashes."""
    paths = [Path(os.path.abspath(path)) for path in photos]
    folder = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(folder).as_posix() for path in paths]


def check_pre_annotations(formats: Sequence[str], names: Iterable[str], output: Path, naming: Naming) -> None:
    """Refuse pre-annotations that could not be written, or would replace others, which somebody may have edited.

    Args:
        formats: names of `WRITERS`.
        names: what the files call the photos.
        output: the folder that holds a folder per format.
        naming: how the files name things.

    Raises:
        UsageError: a format's folder is not empty, or a name has characters that the files cannot hold.
    """
    for name in formats:
        folder = output / name
        if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
            raise UsageError(f"{folder}: exists already, and may have been edited; move it away or name another folder")
    if not naming.label.strip() or not _is_text(naming.label):
        raise UsageError(f"--label {naming.label!r}: is not the name of a class")
    for name in names if formats else ():
        if not _is_text(name):
            raise UsageError(f"{name!r}: this name of a photo cannot be written as pre-annotation; rename the photo")


def write_pre_annotations(formats: Sequence[str], photos: list[FoundPhoto], output: Path, naming: Naming) -> list[Path]:
    """Write each format into its folder below `output`, and return the folders."""
    for name in formats:
        WRITERS[name](photos, output / name, naming)
    return [output / name for name in formats]


def _is_text(name: str) -> bool:
    """Tell whether a name can be written in UTF-8 and XML."""
    try:
        name.encode()
    except UnicodeEncodeError:  # a file name with bytes that are not UTF-8
        return False
    return not CONTROL.search(name)
