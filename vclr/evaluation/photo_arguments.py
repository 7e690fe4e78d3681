"""The photos and videos that a command line names: files, folders, and patterns that the shell did not expand."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from vclr.errors import UsageError, UserError
from vclr.pictures import IMAGE_SUFFIXES, UNREAD_SUFFIXES, list_images, read_image_header

WILDCARDS = set("*?[")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")  # also what a path made of it, which keeps one slash of two


def find_media(arguments: Sequence[str | Path]) -> tuple[list[Path], list[Path]]:
    """List the photos and the videos that arguments name, each once, in the order of the arguments.

    A photo may have any name; a video has a suffix of `VIDEO_SUFFIXES`. From a folder, image files are taken, which
    their suffix tells, and from the matches of a pattern such as `photos/**/*.jpg` also videos. Files of a folder that
    turn out to be unreadable are refused when they are read, one by one.

    Raises:
        UserError: a file does not exist, a folder holds no image, or a pattern matches none.
        UsageError: an argument is an address, empty, or `-`; or two photos that may be read, or two videos, have the
            same stem, so their results would have the same name.
    """
    for argument in arguments:
        _refuse_elsewhere(str(argument))
    found = list(dict.fromkeys(photo for argument in arguments for photo in _expand(Path(argument))))
    videos = [path for path in found if path.suffix.lower() in VIDEO_SUFFIXES]
    photos = [path for path in found if path.suffix.lower() not in VIDEO_SUFFIXES]
    for kind, paths in (("photos", photos), ("videos", videos)):
        _refuse_same_stems(kind, paths)
    for argument in map(Path, arguments):
        if argument in found and not os.path.isfile(argument):
            raise UserError(f"{argument}: {'is not a file' if os.path.exists(argument) else 'does not exist'}")
    return photos, videos


def find_photos(arguments: Sequence[str | Path]) -> list[Path]:
    """List the photos that arguments name, as `find_media` does.

    Raises:
        UsageError: there is a video among them.
    """
    photos, videos = find_media(arguments)
    if videos:
        raise UsageError(f"{videos[0]}: is a video; name photos")
    return photos


def _refuse_same_stems(kind: str, paths: list[Path]) -> None:
    """Raise if the results of two files would have one name. A camera's raw file beside its JPEG gets no results."""
    by_stem: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: path.suffix.lower() in UNREAD_SUFFIXES):
        if (other := by_stem.setdefault(path.stem, path)) != path and not _is_unread(path):
            raise UsageError(
                f"two {kind} are called {path.stem} ({other}, {path}): their results would overwrite each other; "
                "give each run a folder of its own"
            )


def _is_unread(path: Path) -> bool:
    """Tell whether a file is of a format that is not read: its suffix says so, and its content agrees."""
    if path.suffix.lower() not in UNREAD_SUFFIXES or not os.path.isfile(path):
        return False
    try:
        read_image_header(path)
    except UserError:
        return True
    return False


def _refuse_elsewhere(name: str) -> None:
    """Refuse what is not on this machine, and say how to get it here."""
    if not name:
        raise UsageError("'': is empty; name photos, folders of photos, videos, or patterns")
    if os.path.lexists(name):
        return
    if name == "-":
        raise UsageError("-: photos are not read from standard input; save the photo to a file, and give its name")
    if address := ADDRESS.match(name):
        scheme = address[1].lower()
        if scheme == "file":
            path = unquote(urlsplit(name).path)
            raise UsageError(f"{name}: addresses are not read; give the path alone: {path}")
        how = f"for example with `curl -O {name}`" if scheme in ("http", "https", "ftp") else "with its tool"
        raise UsageError(f"{name}: is not a file on this machine; download it first, {how}, and give the file")


def _expand(argument: Path) -> Iterable[Path]:
    if argument.is_dir():
        return list_images(argument, (*IMAGE_SUFFIXES, *UNREAD_SUFFIXES))
    if os.path.lexists(argument) or not WILDCARDS & set(str(argument)):
        return [argument]
    # A folder may itself be called `what?` or `[1]`: a path that exists is not a pattern.
    parts = argument.parts
    length = next(count for count in range(len(parts), -1, -1) if Path(*parts[:count]).exists())
    pattern = os.path.join(*parts[length:])
    try:
        matches = sorted(path for path in Path(*parts[:length]).glob(pattern) if not path.is_dir())
    except (ValueError, NotImplementedError) as error:
        raise UserError(f"{argument}: is not a pattern: {error}") from None
    known = (*IMAGE_SUFFIXES, *UNREAD_SUFFIXES, *VIDEO_SUFFIXES)
    if media := [path for path in matches if path.suffix.lower() in known]:
        return media
    raise UserError(f"{argument}: matches no image ({', '.join(IMAGE_SUFFIXES)})")
