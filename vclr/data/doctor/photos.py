"""Check the files of photos, and of their views: they are there, can be read, and have the size of their entries."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vclr.coco.file import CocoFile
from vclr.data.doctor import kinds
from vclr.data.doctor.annotations import Contents
from vclr.data.doctor.kinds import Use
from vclr.errors import UserError
from vclr.file_names import NameIndex, file_key
from vclr.finding import OK, Finding
from vclr.image_folder import Folder, locate, open_folder
from vclr.views.files import find_suffix, view_name
from vclr.worker_pool import WorkerPool

DARK = 32  # of 255: below it lies every pixel of 12 bits, or of a depth in millimeters, in a file of 16 bits
BLOCK = 64  # images: half a second of decoding

FileIdentity = tuple[int, ...]  # the same for links and for folders of two names


class _Wanted(NamedTuple):
    name: str
    height: int
    width: int


class _Examined(NamedTuple):
    """What there is to say of an image file."""

    damage: str = ""
    size: str = ""  # where it is not the wanted one
    is_turned: bool = False
    has_frames: bool = False
    brightest: int = 255  # value of a pixel, if it was read
    identity: FileIdentity | None = None  # None: there is no such file


def check_photos(
    coco: CocoFile, contents: Contents, folder: Folder, use: Use, decode: bool, pool: WorkerPool
) -> tuple[list[Finding], set[FileIdentity]]:
    """Check the photos of a json.

    Args:
        coco: the json.
        contents: what of it can be used.
        folder: where the photos are.
        use: what is done with them.
        decode: read every pixel; else only what a file says in front.
        pool: who does it.

    Returns:
        What was found, and which files the photos are.
    """
    findings: list[Finding] = []
    images = contents.images
    wanted = [_Wanted(image["file_name"], image["height"], image["width"]) for image in images.values()]
    identities, num_turned, linked = set(), 0, []
    with_frames: list[str] = []
    dark: list[tuple[str, int]] = []
    index: NameIndex | None = None
    for (position, image), examined in zip(images.items(), _examine(folder, wanted, decode, pool), strict=True):
        entry = f"{coco.path}: images[{position}] (id {image['id']}): {folder.path_of(image['file_name'])}"
        if examined.identity is None:
            index = index or folder.index({file_key(file.name) for file in wanted})
            near = index.alike(image["file_name"])
            kind = kinds.MISSING_IMAGE if near is None else kinds.OTHER_NAME
            says = "does not exist" + (f"; nearest: {folder.path_of(near)}" if near is not None else "")
            findings += kind.found(use, f"{entry}: {says}")
            continue
        if (target := folder.leads_outside(image["file_name"])) is not None:
            linked.append((image["file_name"], target))
        if examined.damage:
            findings += kinds.UNREADABLE_IMAGE.found(use, f"{entry}: {examined.damage}")
        elif examined.size:
            says = f"{examined.size}, the entry says {image['width']}x{image['height']}"
            findings += kinds.OTHER_SIZE.found(use, f"{entry}: {says}")
        identities.add(examined.identity)
        num_turned += examined.is_turned
        with_frames += [image["file_name"]] * examined.has_frames
        dark += [(image["file_name"], examined.brightest)] * (examined.brightest < DARK)
    if num_turned:
        says = f"{num_turned} photos are turned upright by their EXIF data: boxes, masks and views must fit that"
        findings.append(Finding(OK, "turned photos", f"{folder.path}: {says}"))
    if with_frames:
        says = f"{len(with_frames)} photos hold several frames or pages ({with_frames[0]} ...): the first is used"
        findings.append(Finding(OK, "photos of several frames", f"{folder.path}: {says}"))
    if linked:
        says = f"{len(linked)} photos are links to files elsewhere ({linked[0][0]} -> {linked[0][1]} ...): followed"
        findings.append(Finding(OK, "links", f"{folder.path}: {says}"))
    findings += _say_dark(folder, dark)
    return findings + _say_other_names(folder, [file.name for file in wanted]), identities


def _say_dark(folder: Folder, dark: list[tuple[str, int]]) -> list[Finding]:
    """Say of pictures in which next to nothing is to see."""
    if not dark:
        return []
    name, brightest = dark[0]
    says = f"{folder.path}: {len(dark)} pictures are nearly black ({name}: its brightest value is {brightest} of 255)"
    bits = "of 16 bits per channel the highest 8 are read, which values of 12 bits or depth in millimeters hardly reach"
    return [Finding(OK, "dark pictures", f"{says}; {bits}")]


def _say_other_names(folder: Folder, names: list[str]) -> list[Finding]:
    """Say how many files are found although the json writes slashes or accents of their names otherwise."""
    doubtful = (name for name in names if not name.isascii() or "\\" in name or "/" in name)
    others = [(name, found) for name in doubtful if (found := folder.find(name)) not in (None, name)]
    if not others:
        return []
    says = f"{len(others)} names are written otherwise than the files ({others[0][0]} for {others[0][1]}): found"
    return [Finding(OK, "names", f"{folder.path}: {says}")]


def check_views(
    coco: CocoFile, contents: Contents, view: str, folder: Path, decode: bool, pool: WorkerPool
) -> list[Finding]:
    """Check the files of a view of the photos of a training set."""
    use = Use(evaluates=False)
    if locate(folder) is None:
        return kinds.NO_VIEW_FOLDER.found(use, f"view {view}: {folder}: does not exist")
    findings: list[Finding] = []
    files = open_folder(folder)
    photos, wanted = [], []
    dark: list[tuple[str, int]] = []
    for image in contents.images.values():
        suffix = find_suffix(files, image["file_name"])
        if suffix is None:
            findings += kinds.MISSING_VIEW.found(use, f"{folder}: view {view} of {image['file_name']}: does not exist")
        else:
            photos.append(image)
            wanted.append(_Wanted(view_name(image["file_name"], suffix), image["height"], image["width"]))
    for file, image, examined in zip(wanted, photos, _examine(files, wanted, decode, pool), strict=True):
        path = files.path_of(file.name)
        dark += [(file.name, examined.brightest)] * (examined.brightest < DARK)
        if examined.damage:
            findings += kinds.UNREADABLE_VIEW.found(use, f"{path}: {examined.damage}")
        elif examined.size:
            says = f"{examined.size}, its photo {image['file_name']} {image['width']}x{image['height']}"
            findings += kinds.OTHER_VIEW_SIZE.found(use, f"{path}: {says}")
    return findings + _say_dark(files, dark)


def check_names(coco: CocoFile, contents: Contents, has_views: bool, use: Use) -> list[Finding]:
    """Find photos that are named twice, and those whose views would have one name."""
    findings = []
    first_of: dict[str, int] = {}
    first_of_stem: dict[str, tuple[int, str]] = {}
    for position, image in contents.images.items():
        name = file_key(image["file_name"])
        entry = f"{coco.path}: images[{position}] (id {image['id']}): {image['file_name']}"
        if (first := first_of.setdefault(name, position)) != position:
            findings += kinds.SAME_FILE.found(use, f"{entry} is the file of images[{first}] too")
            continue
        other, other_name = first_of_stem.setdefault(os.path.splitext(name)[0], (position, name))
        if other != position:
            kind = kinds.SAME_STEM_WITH_VIEWS if has_views else kinds.SAME_STEM
            findings += kind.found(use, f"{entry} has the stem of {other_name} (images[{other}])")
    return findings


def count_others(folder: Folder, names: set[str]) -> list[Finding]:
    """Say how many images a folder holds that no entry names.

    Args:
        folder: of the photos.
        names: of all entries that have their photos there.
    """
    known = {file_key(name) for name in names}
    folders = sorted({os.path.dirname(name) for name in known})
    others = [name for below in folders for name in folder.images_below(below) if file_key(name) not in known]
    if not others:
        return []
    return [
        Finding(OK, "other images", f"{folder.path}: {len(others)} are named by no entry ({min(others)} ...): not used")
    ]


def _examine(folder: Folder, files: Sequence[_Wanted], decode: bool, pool: WorkerPool) -> Iterator[_Examined]:
    size = BLOCK if decode else 16 * BLOCK
    for block in pool.map_blocks(_examine_block, (folder, decode), files, size, f"reading {folder.path.name}"):
        yield from block


def _examine_block(task: tuple[Folder, bool], start: int, files: Sequence[_Wanted]) -> list[_Examined]:
    folder, decode = task
    return [_examine_file(folder, file, decode) for file in files]


def _examine_file(folder: Folder, file: _Wanted, decode: bool) -> _Examined:
    identity = folder.identity(file.name)
    if identity is None:
        return _Examined()
    try:
        header = folder.read_header(file.name)
        brightest = int(np.asarray(folder.open(file.name)).max()) if decode else 255
    except UserError as error:
        return _Examined(damage=str(error).removeprefix(f"{folder.path_of(file.name)}: "), identity=identity)
    size = ""
    if (header.height, header.width) != (file.height, file.width):
        size = f"is {header.width}x{header.height}" + (" turned upright by its EXIF data" if header.is_turned else "")
    return _Examined("", size, header.is_turned, header.has_frames, brightest, identity)
