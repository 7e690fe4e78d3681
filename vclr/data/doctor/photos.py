"""Check the files of photos and of their views: they exist, can be read, and have the size of their entries."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vclr.catalog.views import REFUSE
from vclr.coco.file import CocoFile
from vclr.data.doctor import kinds
from vclr.data.doctor.annotations import Contents
from vclr.data.doctor.kinds import Use
from vclr.errors import UserError
from vclr.file_names import NameIndex, file_key
from vclr.finding import OK, Finding
from vclr.image_folders.folder import ImageFolder
from vclr.image_folders.open import locate, open_folder
from vclr.image_folders.several import SeveralFolders
from vclr.views.files import find_suffix, view_name
from vclr.worker_pool import WorkerPool

DARK = 32  # of 255; pixels of 12 bits, or depth in millimeters, stay below it in a file of 16 bits
BLOCK = 64  # images: half a second of decoding

FileIdentity = tuple[int, ...]  # the same for links and for two names of a folder


class _Wanted(NamedTuple):
    name: str
    height: int
    width: int


class _Examined(NamedTuple):
    """The result for an image file."""

    damage: str = ""
    size: str = ""  # if it is not the wanted size
    is_turned: bool = False
    has_frames: bool = False
    brightest: int = 255  # the largest pixel value, if the file was decoded
    identity: FileIdentity | None = None  # None: the file does not exist


def check_photos(
    coco: CocoFile, contents: Contents, folder: ImageFolder, use: Use, decode: bool, pool: WorkerPool
) -> tuple[list[Finding], set[FileIdentity]]:
    """Check the photos of a json; without `decode`, only the header of each image is read.

    Returns:
        The findings, and the identities of the photos' files.
    """
    findings: list[Finding] = []
    wanted = [_Wanted(image["file_name"], image["height"], image["width"]) for image in contents.images.values()]
    existing: list[tuple[str, _Examined]] = []
    identities = set()
    index: NameIndex | None = None
    results = _examine(folder, wanted, decode, pool)
    for (position, image), file, examined in zip(contents.images.items(), wanted, results, strict=True):
        entry = f"{coco.path}: images[{position}] (id {image['id']}): {folder.path_of(file.name)}"
        if examined.identity is None:
            index = index or folder.index({file_key(one.name) for one in wanted})
            near = index.alike(file.name)
            kind = kinds.MISSING_IMAGE if near is None else kinds.OTHER_NAME
            nearest = f"; nearest: {folder.path_of(near)}" if near is not None else ""
            findings += kind.found(use, f"{entry}: does not exist{nearest}")
            continue
        if examined.damage:
            findings += kinds.UNREADABLE_IMAGE.found(use, f"{entry}: {examined.damage}")
        elif examined.size:
            says = f"{examined.size}, but the entry says {file.width}x{file.height}"
            findings += kinds.OTHER_SIZE.found(use, f"{entry}: {says}")
        identities.add(examined.identity)
        existing.append((file.name, examined))
    if isinstance(folder, SeveralFolders) and (names := folder.conflicts(file.name for file in wanted)):
        says = f"{folder.path}: {len(names)} photos have other bytes in another of the folders ({names[0]} ...)"
        findings += kinds.OTHER_BYTES.found(use, says)
    notes = [*_note_content(folder, existing), *_note_dark(folder, existing), *_note_names(folder, wanted)]
    return findings + [Finding(OK, topic, f"{folder.path}: {says}") for topic, says in notes], identities


def _note_content(folder: ImageFolder, existing: list[tuple[str, _Examined]]) -> Iterator[tuple[str, str]]:
    """Yield topic and text about photos that are turned, have several frames, or are links."""
    of_all = f"of {len(existing)} photos"
    if num_turned := sum(examined.is_turned for _, examined in existing):
        says = f"EXIF data turn {num_turned} {of_all} upright; boxes, masks and views must match the turned photos"
        yield "turned photos", says
    if with_frames := [name for name, examined in existing if examined.has_frames]:
        says = f"several frames or pages in {len(with_frames)} {of_all} ({with_frames[0]}, for example)"
        yield "photos of several frames", f"{says}; only the first is used"
    targets = ((name, folder.leads_outside(name)) for name, _ in existing)
    if linked := [f"{name} -> {target}" for name, target in targets if target is not None]:
        yield "links", f"links to files elsewhere: {len(linked)} {of_all} ({linked[0]}, for example); they are followed"


def _note_dark(folder: ImageFolder, existing: list[tuple[str, _Examined]]) -> Iterator[tuple[str, str]]:
    """Yield topic and text about pictures in which almost nothing is visible."""
    if dark := [(name, examined.brightest) for name, examined in existing if examined.brightest < DARK]:
        name, brightest = dark[0]
        says = f"nearly black: {len(dark)} of {len(existing)} pictures ({name} has no value above {brightest} of 255)"
        bits = "of 16 bits per channel, the highest 8 are used, which 12-bit values or depth in mm hardly reach"
        yield "dark pictures", f"{says}; {bits}"


def _note_names(folder: ImageFolder, files: list[_Wanted]) -> Iterator[tuple[str, str]]:
    """Yield topic and text about files that are found although the json spells slashes or accents differently."""
    doubtful = (file.name for file in files if not file.name.isascii() or "\\" in file.name or "/" in file.name)
    others = [(name, found) for name in doubtful if (found := folder.find(name)) not in (None, name)]
    if others:
        says = f"other slashes or accents than on disk in {len(others)} of {len(files)} names"
        yield "names", f"{says} ({others[0][0]} is {others[0][1]}, for example); the files were found"


def check_views(
    contents: Contents, view: str, folder: Path, decode: bool, pool: WorkerPool, missing: str = REFUSE
) -> tuple[list[Finding], list[str]]:
    """Check the files of a view of the training photos.

    Args:
        contents: the photos.
        view: name of the view.
        folder: its folder.
        decode: decode the files, rather than read their headers.
        pool: the processes that read them.
        missing: what the training does with photos that have no file, as in `views.missing`.

    Returns:
        The findings, and the names of the photos that have no file.
    """
    use = Use(evaluates=False)
    if locate(folder) is None:
        return kinds.NO_VIEW_FOLDER.found(use, f"view {view}: {folder}: does not exist"), []
    findings: list[Finding] = []
    files = open_folder(folder)
    photos, wanted, lacking = [], [], []
    for image in contents.images.values():
        suffix = find_suffix(files, image["file_name"])
        if suffix is None:
            lacking.append(image["file_name"])
        else:
            photos.append(image["file_name"])
            wanted.append(_Wanted(view_name(image["file_name"], suffix), image["height"], image["width"]))
    # A view that no photo has is refused always.
    kind = kinds.MISSING_VIEW_ALLOWED.get(missing, kinds.MISSING_VIEW) if wanted else kinds.MISSING_VIEW
    for name in lacking:
        findings += kind.found(use, f"{folder}: view {view} of {name}: does not exist")
    results = list(_examine(files, wanted, decode, pool))
    for file, photo, examined in zip(wanted, photos, results, strict=True):
        path = files.path_of(file.name)
        if examined.damage:
            findings += kinds.UNREADABLE_VIEW.found(use, f"{path}: {examined.damage}")
        elif examined.size:
            says = f"{examined.size}, but its photo {photo} is {file.width}x{file.height}"
            findings += kinds.OTHER_VIEW_SIZE.found(use, f"{path}: {says}")
    notes = _note_dark(files, [(file.name, examined) for file, examined in zip(wanted, results, strict=True)])
    return findings + [Finding(OK, topic, f"{files.path}: {says}") for topic, says in notes], lacking


def check_names(coco: CocoFile, contents: Contents, has_views: bool, use: Use) -> list[Finding]:
    """Find photos that occur twice, and photos whose view files would have the same name."""
    findings = []
    first_of: dict[str, int] = {}
    first_of_stem: dict[str, tuple[int, str]] = {}
    for position, image in contents.images.items():
        name = file_key(image["file_name"])
        entry = f"{coco.path}: images[{position}] (id {image['id']}): {image['file_name']}"
        if (first := first_of.setdefault(name, position)) != position:
            findings += kinds.SAME_FILE.found(use, f"{entry} is also the file of images[{first}]")
            continue
        other, other_name = first_of_stem.setdefault(os.path.splitext(name)[0], (position, name))
        if other != position:
            kind = kinds.SAME_STEM_WITH_VIEWS if has_views else kinds.SAME_STEM
            findings += kind.found(use, f"{entry} has the same stem as {other_name} (images[{other}])")
    return findings


def count_others(folder: ImageFolder, names: set[str]) -> list[Finding]:
    """Report how many images of a folder are not among the file names of all its entries."""
    known = {file_key(name) for name in names}
    folders = sorted({os.path.dirname(name) for name in known})
    others = [name for below in folders for name in folder.images_below(below) if file_key(name) not in known]
    if not others:
        return []
    says = f"not used, because no entry names them: {len(others)} images ({min(others)}, for example)"
    return [Finding(OK, "other images", f"{folder.path}: {says}")]


def _examine(folder: ImageFolder, files: Sequence[_Wanted], decode: bool, pool: WorkerPool) -> Iterator[_Examined]:
    size = BLOCK if decode else 16 * BLOCK
    for block in pool.map_blocks(_examine_block, (folder, decode), files, size, f"reading {folder.path.name}"):
        yield from block


def _examine_block(task: tuple[ImageFolder, bool], start: int, files: Sequence[_Wanted]) -> list[_Examined]:
    folder, decode = task
    return [_examine_file(folder, file, decode) for file in files]


def _examine_file(folder: ImageFolder, file: _Wanted, decode: bool) -> _Examined:
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
