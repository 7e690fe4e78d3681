"""The photos that a command line names: files, folders, and quoted patterns, which the shell does not expand."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from vclr.errors import UsageError, UserError
from vclr.pictures import IMAGE_SUFFIXES, list_images

WILDCARDS = set("*?[")


def find_photos(arguments: Sequence[Path]) -> list[Path]:
    """List the photos that arguments name, each once, in the order of the arguments.

    A file may have any name. From a folder, and from the matches of a pattern such as `photos/**/*.jpg`, only image
    files are taken, which their suffix tells.

    Raises:
        UserError: a file does not exist, a folder holds no image, or a pattern matches none.
        UsageError: two photos have the same stem, so their results would have the same name.
    """
    photos = list(dict.fromkeys(photo for argument in arguments for photo in _expand(Path(argument))))
    by_stem: dict[str, Path] = {}
    for photo in photos:
        if (other := by_stem.setdefault(photo.stem, photo)) != photo:
            raise UsageError(
                f"two photos are called {photo.stem} ({other}, {photo}): their results would overwrite each other; "
                "give each run a folder of its own"
            )
    for photo in photos:
        if not os.path.isfile(photo):
            raise UserError(f"{photo}: {'is not a file' if os.path.exists(photo) else 'does not exist'}")
    return photos


def _expand(argument: Path) -> Iterable[Path]:
    if argument.is_dir():
        return [path for path in list_images(argument) if path.is_file()]
    if os.path.lexists(argument) or not WILDCARDS & set(str(argument)):
        return [argument]
    # A folder may itself be called `what?` or `[1]`: a path that exists is not a pattern.
    parts = argument.parts
    length = next(count for count in range(len(parts), -1, -1) if Path(*parts[:count]).exists())
    pattern = os.path.join(*parts[length:])
    try:
        matches = sorted(path for path in Path(*parts[:length]).glob(pattern) if path.is_file())
    except (ValueError, NotImplementedError) as error:
        raise UserError(f"{argument}: is not a pattern: {error}") from None
    if images := [path for path in matches if path.suffix.lower() in IMAGE_SUFFIXES]:
        return images
    raise UserError(f"{argument}: matches no image ({', '.join(IMAGE_SUFFIXES)})")
