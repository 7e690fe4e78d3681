"""Match the images of two COCO json files by file name, because each file has its own image ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vclr.coco.checks import Json
from vclr.errors import UserError
from vclr.file_names import file_key


@dataclass(frozen=True)
class SameImages:
    """The images of a json (proposals, predictions) that are also in a data set.

    Attributes:
        positions: maps the id of each common image to the positions of its entries in the data set, which are several
            if entries name the same file.
        num_common: number of entries of the data set that are in the json.
        num_others: number of images of the json that are not in the data set.
    """

    positions: dict[Any, list[int]]
    num_common: int
    num_others: int


def match_images(theirs: list[Json], source: str | Path, ours: list[Json], annotations: str | Path) -> SameImages:
    """Match the checked images of a json with those of a data set.

    Spellings of the same file name (`./a.jpg`, `a.jpg`; see `file_key`) match.

    Args:
        theirs: `images` of the json.
        source: the name of the json in errors.
        ours: `images` of the data set.
        annotations: the name of the data set in errors.

    Raises:
        UserError: they have no image in common, or an image has different sizes in the two files.
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
                size, other = (f"{one['width']}x{one['height']}" for one in (image, wanted))
                name = f"{source}: images[{position}]: {image['file_name']}"
                raise UserError(f"{name} is {size}, but {annotations} says {other}")
        positions[image["id"]] = places
        common.update(places)
    if ours and theirs and not common:
        names = f"it has {theirs[0]['file_name']}, for example, and {annotations} has {ours[0]['file_name']}"
        raise UserError(f"{source}: has no image in common with {annotations}: {names}")
    return SameImages(positions, len(common), len(theirs) - len(positions))
