"""The images that two COCO json have in common, by file name: each json numbers its own."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vclr.coco.checks import Json
from vclr.errors import UserError
from vclr.file_names import file_key

log = logging.getLogger("vclr.coco")


@dataclass(frozen=True)
class SameImages:
    """Which images of a json (proposals, predictions) are images of a data set.

    Attributes:
        positions: for each image of the json that is in the data set, by its id, the positions of the data set's
            entries of it: one, or several if they name one file.
        num_common: entries of the data set that the json has, too.
        num_others: images of the json that are not in the data set.
    """

    positions: dict[Any, list[int]]
    num_common: int
    num_others: int


def match_images(theirs: list[Json], source: str | Path, ours: list[Json], annotations: str | Path) -> SameImages:
    """Find the images of a data set among those of another json, both checked.

    Names that mean the same file (`./a.jpg`, `a.jpg`; see `file_key`) are the same.

    Args:
        theirs: `images` of the other json.
        source: what errors call it.
        ours: `images` of the data set.
        annotations: what errors call it.

    Raises:
        UserError: no image in common, or one that the two files have in two sizes.
    """
    by_key: dict[str, list[int]] = {}
    for position, image in enumerate(ours):
        by_key.setdefault(file_key(image["file_name"]), []).append(position)
    positions: dict[Any, list[int]] = {}
    common: set[int] = set()
    for position, image in enumerate(theirs):
        places = by_key.get(file_key(image["file_name"]))
        if places is None:
            continue
        for wanted in (ours[place] for place in places):
            if (image["height"], image["width"]) != (wanted["height"], wanted["width"]):
                sizes = f"{image['width']}x{image['height']}, {annotations} says {wanted['width']}x{wanted['height']}"
                raise UserError(f"{source}: images[{position}]: {image['file_name']} is {sizes}")
        positions[image["id"]] = places
        common.update(places)
    if ours and theirs and not common:
        names = f"({ours[0]['file_name']}, say); it has {theirs[0]['file_name']}"
        raise UserError(f"{source}: names no image of {annotations} {names}")
    return SameImages(positions, len(common), len(theirs) - len(positions))


def warn_of_missing(same: SameImages, source: str | Path, num_images: int, annotations: str | Path) -> None:
    """Say in one line how many images of a data set a json of proposals has, if not all."""
    if same.num_common < num_images:
        log.warning("%s: has %d of the %d images of %s", source, same.num_common, num_images, annotations)
