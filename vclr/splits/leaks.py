"""Leaks: images on which a detector was trained and is also evaluated.

Sets share images more often than one expects: LVIS's validation images are COCO's, most of them from its training set.
Images are matched by name, by COCO's number, by their bytes, and by what they show (`picture_hash`).
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vclr.coco.annotations import Json, open_images
from vclr.coco.official import last_part, open_official
from vclr.image_folders.folder import ImageFolder
from vclr.image_folders.open import Images
from vclr.processes import count_cpus
from vclr.splits.picture_hash import DECODED_SIZE, MAX_COARSE, coarse_distance, find_copies, hash_picture
from vclr.worker_pool import WorkerPool

REASONS = ("name", "coco", "bytes", "near", "mirrored")
MAX_PAIRS = 1000  # pairs that are listed
BLOCK = 64  # photos that a process hashes at once: a fifth of a second
COCO_FILE = re.compile(r"(?:COCO_(?:train|val|test)20\d\d_)?(\d{12})\.jpg")

Pair = tuple[int, int]  # positions of an evaluation image and of a training image


@dataclass(frozen=True)
class PhotoSet:
    """Images of a data set.

    Attributes:
        file: name of the json, without its folder.
        images: its entries.
        folder: where the files are; without it, only the entries of the json are compared.
    """

    file: str
    images: list[Json]
    folder: ImageFolder | None


def photo_set(annotations: str | Path, images: list[Json], folder: Images | None) -> PhotoSet:
    """Return the images of a checked json; if a folder is given, their files must exist there."""
    opened = None if folder is None else open_images(folder, images, annotations)
    return PhotoSet(Path(annotations).name, images, opened)


def read_photo_set(annotations: str | Path, folder: Images | None = None) -> PhotoSet:
    """Read the images of a json; see `photo_set`."""
    coco = open_official(annotations)
    coco.check_images()
    return photo_set(annotations, coco.images, folder)


def audit_leaks(training: PhotoSet, evaluation: PhotoSet, quiet: bool = False) -> Json:
    """Find the images of an evaluation set that are also in a training set.

    Returns:
        `training` and `evaluation`: `file` and number of `images` of each set;
        `compared`: names, and also bytes and pictures if both folders are given;
        `leaked_images`: number of evaluation images in the training set; `pairs`: number of matches;
        `pairs_by`: how many of these are the same by `name` (the file name's last part), by `coco` (number of the image
        in COCO), by `bytes`, how many are `near` or `mirrored` copies (a pair can be several);
        `max_distance`: bits of 64 in which near copies may differ;
        `first_pairs`: up to 1000 of them, in the order of the evaluation set: `evaluation` and `training` file name,
        `why`, and `distance` in bits, None if pictures were not compared: a large one shows that two images share
        nothing but a name.
    """
    why: dict[Pair, list[str]] = defaultdict(list)
    for reason, keys_of in (("name", _names), ("coco", _coco_numbers)):
        for pair in _same(keys_of(evaluation.images), keys_of(training.images)):
            why[pair].append(reason)
    hashes: tuple[Any, Any] | None = None
    if training.folder is not None and evaluation.folder is not None:
        for pair in _same_bytes(evaluation, training):
            why[pair].append("bytes")
        hashes = _hash(evaluation, "evaluation images", quiet), _hash(training, "training images", quiet)
        for reason, version in (("near", 0), ("mirrored", 1)):
            for pair in _near(*hashes, version):
                why[pair].append(reason)
    listed = []
    for mine, theirs in sorted(why)[:MAX_PAIRS]:
        names = evaluation.images[mine]["file_name"], training.images[theirs]["file_name"]
        entry = {"evaluation": names[0], "training": names[1], "why": why[mine, theirs]}
        listed.append({**entry, "distance": _distance(hashes, mine, theirs)})
    reasons = Counter(reason for found in why.values() for reason in found)
    return {
        "training": {"file": training.file, "images": len(training.images)},
        "evaluation": {"file": evaluation.file, "images": len(evaluation.images)},
        "compared": ["names", "bytes", "pictures"] if hashes else ["names"],
        "leaked_images": len({mine for mine, _ in why}),
        "pairs": len(why),
        "pairs_by": {reason: reasons[reason] for reason in REASONS},
        "max_distance": MAX_COARSE,
        "first_pairs": listed,
    }


def summarize_leaks(leaks: Json) -> str:
    """Say in one line what an audit found."""
    reasons = ", ".join(f"{count} {reason}" for reason, count in leaks["pairs_by"].items() if count)
    count, files = leaks["leaked_images"], (leaks["evaluation"]["file"], leaks["training"]["file"])
    found = f"{count} of {leaks['evaluation']['images']} images of {files[0]} are in {files[1]}"
    return f"{found} ({reasons})" if count else f"{found} (compared: {', '.join(leaks['compared'])})"


def _names(images: list[Json]) -> list[str | None]:
    """Return the name of each image without folders, or with them if several share it (frames of videos)."""
    lasts = [last_part(image["file_name"]) for image in images]
    counts = Counter(lasts)
    return [last if counts[last] == 1 else image["file_name"] for last, image in zip(lasts, images, strict=True)]


def _coco_numbers(images: list[Json]) -> list[str | None]:
    """Return the number that each image has in COCO, by its address or its name; None for other images."""
    numbers: list[str | None] = []
    for image in images:
        places = map(last_part, (str(image.get("coco_url", "")), image["file_name"]))
        numbers.append(next((match[1] for match in map(COCO_FILE.fullmatch, places) if match), None))
    return numbers


def _same(mine: list[Any], theirs: list[Any]) -> Iterator[Pair]:
    """Yield the positions at which two lists have the same key; None matches nothing."""
    positions: dict[Any, list[int]] = defaultdict(list)
    for position, key in enumerate(theirs):
        positions[key].append(position)
    for position, key in enumerate(mine):
        if key is not None:
            yield from ((position, other) for other in positions.get(key, ()))


def _same_bytes(evaluation: PhotoSet, training: PhotoSet) -> Iterator[Pair]:
    """Yield the pairs of equal files; only files of a size that occurs in both sets are read."""
    sets = (evaluation, training)
    sizes = [[_folder(photos).size(image["file_name"]) for image in photos.images] for photos in sets]
    shared = set(sizes[0]) & set(sizes[1])
    hashes = [
        [
            hashlib.sha256(_folder(photos).read(image["file_name"])).digest() if size in shared else None
            for size, image in zip(of_set, photos.images, strict=True)
        ]
        for of_set, photos in zip(sizes, sets, strict=True)
    ]
    yield from _same(*hashes)


def _hash(photos: PhotoSet, description: str, quiet: bool) -> dict[int, np.ndarray]:
    """Return the hashes of the pictures of a set by position, without blank ones; computed on all CPUs."""
    names = [image["file_name"] for image in photos.images]
    blocks = WorkerPool(count_cpus(), quiet).map_blocks(_hash_block, _folder(photos), names, BLOCK, description)
    hashes = itertools.chain.from_iterable(blocks)
    return {position: found for position, found in enumerate(hashes) if found is not None}


def _hash_block(folder: ImageFolder, start: int, names: Sequence[str]) -> list[np.ndarray | None]:
    return [hash_picture(folder.open(name, at_least=DECODED_SIZE)) for name in names]


def _near(mine: dict[int, np.ndarray], theirs: dict[int, np.ndarray], version: int) -> Iterator[Pair]:
    """Yield the pairs in which one is a copy of the other (`version` 0) or of its mirror image (1)."""
    if not mine or not theirs:
        return
    positions, others = list(mine), list(theirs)
    pairs = find_copies(
        np.stack([found[version] for found in mine.values()]), np.stack([found[0] for found in theirs.values()])
    )
    for first, second, _ in pairs:
        yield positions[first], others[second]


def _distance(hashes: tuple[Any, Any] | None, mine: int, theirs: int) -> int | None:
    """Return the bits in which two pictures differ, as they are or mirrored."""
    if hashes is None or mine not in hashes[0] or theirs not in hashes[1]:
        return None
    return min(coarse_distance(version, hashes[1][theirs][0]) for version in hashes[0][mine])


def _folder(photos: PhotoSet) -> ImageFolder:
    assert photos.folder is not None
    return photos.folder
