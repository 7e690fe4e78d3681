"""Check the files of photos, and of their views: they are there, can be read, and have the size of their entries."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from vclr.coco_file import CocoFile
from vclr.data.doctor import kinds
from vclr.data.doctor.annotations import Contents
from vclr.data.doctor.crew import Crew
from vclr.data.doctor.kinds import Use
from vclr.data.view_files import find_suffix, view_path
from vclr.errors import UserError
from vclr.files import IMAGE_SUFFIXES, open_image, read_image_header
from vclr.finding import OK, Finding

BLOCK = 64  # images: half a second of decoding

FileIdentity = tuple[int, int]  # device and inode: the same for links and for folders of two names


class _Wanted(NamedTuple):
    path: Path
    height: int
    width: int


class _Examined(NamedTuple):
    """What there is to say of an image file."""

    damage: str = ""
    size: str = ""  # where it is not the wanted one
    is_turned: bool = False
    identity: FileIdentity | None = None  # None: there is no such file


def check_photos(
    coco: CocoFile, contents: Contents, folder: Path, use: Use, decode: bool, crew: Crew
) -> tuple[list[Finding], set[FileIdentity]]:
    """Check the photos of a json.

    Args:
        coco: the json.
        contents: what of it can be used.
        folder: where the photos are.
        use: what is done with them.
        decode: read every pixel; else only what a file says in front.
        crew: who does it.

    Returns:
        What was found, and which files the photos are.
    """
    findings: list[Finding] = []
    images = contents.images
    wanted = [_Wanted(folder / image["file_name"], image["height"], image["width"]) for image in images.values()]
    identities, num_turned = set(), 0
    for (position, image), examined in zip(
        images.items(), _examine(wanted, decode, crew, f"reading {folder.name}"), strict=True
    ):
        entry = f"{coco.path}: images[{position}] (id {image['id']}): {folder / image['file_name']}"
        if examined.identity is None:
            findings += kinds.MISSING_IMAGE.found(use, f"{entry}: does not exist")
            continue
        if examined.damage:
            findings += kinds.UNREADABLE_IMAGE.found(use, f"{entry}: {examined.damage}")
        elif examined.size:
            says = f"{examined.size}, the entry says {image['width']}x{image['height']}"
            findings += kinds.OTHER_SIZE.found(use, f"{entry}: {says}")
        identities.add(examined.identity)
        num_turned += examined.is_turned
    if num_turned:
        says = f"{num_turned} photos are turned upright by their EXIF data: boxes, masks and views must fit that"
        findings.append(Finding(OK, "turned photos", f"{folder}: {says}"))
    return findings, identities


def check_views(coco: CocoFile, contents: Contents, view: str, folder: Path, decode: bool, crew: Crew) -> list[Finding]:
    """Check the files of a view of the photos of a training set."""
    use = Use(evaluates=False)
    if not folder.is_dir():
        return kinds.NO_VIEW_FOLDER.found(use, f"view {view}: {folder}: does not exist")
    findings: list[Finding] = []
    photos, wanted = [], []
    for image in contents.images.values():
        suffix = find_suffix(folder, image["file_name"])
        if suffix is None:
            findings += kinds.MISSING_VIEW.found(use, f"{folder}: view {view} of {image['file_name']}: does not exist")
        else:
            photos.append(image)
            wanted.append(_Wanted(view_path(folder, image["file_name"], suffix), image["height"], image["width"]))
    for file, image, examined in zip(
        wanted, photos, _examine(wanted, decode, crew, f"reading {folder.name}"), strict=True
    ):
        if examined.damage:
            findings += kinds.UNREADABLE_VIEW.found(use, f"{file.path}: {examined.damage}")
        elif examined.size:
            says = f"{examined.size}, its photo {image['file_name']} {image['width']}x{image['height']}"
            findings += kinds.OTHER_VIEW_SIZE.found(use, f"{file.path}: {says}")
    return findings


def check_names(coco: CocoFile, contents: Contents, has_views: bool, use: Use) -> list[Finding]:
    """Find photos that are named twice, and those whose views would have one name."""
    findings = []
    first_of: dict[str, int] = {}
    first_of_stem: dict[str, tuple[int, str]] = {}
    for position, image in contents.images.items():
        name = os.path.normpath(image["file_name"])
        entry = f"{coco.path}: images[{position}] (id {image['id']}): {image['file_name']}"
        if (first := first_of.setdefault(name, position)) != position:
            findings += kinds.SAME_FILE.found(use, f"{entry} is the file of images[{first}] too")
            continue
        other, other_name = first_of_stem.setdefault(os.path.splitext(name)[0], (position, name))
        if other != position:
            kind = kinds.SAME_STEM_WITH_VIEWS if has_views else kinds.SAME_STEM
            findings += kind.found(use, f"{entry} has the stem of {other_name} (images[{other}])")
    return findings


def count_others(folder: Path, names: set[str]) -> list[Finding]:
    """Say how many images a folder holds that no entry names.

    Args:
        folder: of the photos.
        names: of all entries that have their photos there.
    """
    known = {os.path.normpath(name) for name in names}
    others = []
    for below in sorted({os.path.dirname(name) for name in known}):
        if (folder / below).is_dir():
            found = (os.path.normpath(os.path.join(below, name)) for name in os.listdir(folder / below))
            others += [name for name in found if name.lower().endswith(IMAGE_SUFFIXES) and name not in known]
    if not others:
        return []
    return [Finding(OK, "other images", f"{folder}: {len(others)} are named by no entry ({min(others)} ...): not used")]


def _examine(files: Sequence[_Wanted], decode: bool, crew: Crew, description: str) -> Iterator[_Examined]:
    for block in crew.work(_examine_block, decode, files, BLOCK if decode else 16 * BLOCK, description):
        yield from block


def _examine_block(decode: bool, start: int, files: Sequence[_Wanted]) -> list[_Examined]:
    return [_examine_file(file, decode) for file in files]


def _examine_file(file: _Wanted, decode: bool) -> _Examined:
    if not os.path.isfile(file.path):  # False for impossible names too
        return _Examined()
    status = os.stat(file.path)
    identity = status.st_dev, status.st_ino
    try:
        header = read_image_header(file.path)
        if decode:
            open_image(file.path)
    except UserError as error:
        return _Examined(damage=str(error).removeprefix(f"{file.path}: "), identity=identity)
    size = ""
    if (header.height, header.width) != (file.height, file.width):
        size = f"is {header.width}x{header.height}" + (" turned upright by its EXIF data" if header.is_turned else "")
    return _Examined(size=size, is_turned=header.is_turned, identity=identity)
