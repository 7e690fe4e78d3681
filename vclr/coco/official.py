"""Read published annotation files as COCO json. The differences between the data sets are handled here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from vclr.coco.file import CocoFile, open_annotations, other_json
from vclr.coco.video_frames import VideoFile
from vclr.errors import UserError
from vclr.file_names import file_key


def open_official(path: str | Path, without_folders: bool = False) -> CocoFile:
    """Open a json of COCO, LVIS or Objects365, or of UVO with videos, whose frames become the images.

    Args:
        path: the json.
        without_folders: remove the folders from the file names, for images in one flat folder.

    Raises:
        UserError: the file is missing, is not a json of annotations, or two file names differ only in their folder.
    """
    coco = open_annotations(path)
    if not isinstance(coco.head.get("images"), list):
        if not isinstance(coco.head.get("videos"), list):
            raise other_json(path)
        coco = VideoFile(coco)
    names: set[str] = set()
    for position, image in enumerate(coco.images):
        if not isinstance(image, dict):
            continue  # the checks report it
        if "file_name" not in image and isinstance(image.get("coco_url"), str):
            image["file_name"] = last_part(image["coco_url"])  # LVIS v1 has no `file_name`
        if without_folders and isinstance(image.get("file_name"), str):
            image["file_name"] = last_part(image["file_name"])
            if image["file_name"] in names:
                raise UserError(f"{path}: images[{position}]: file name {image['file_name']} occurs twice")
            names.add(image["file_name"])
    return coco


def check_counts(path: Path, expected: Mapping[str, int]) -> CocoFile:
    """Open a json and compare the lengths of its lists (`images`, `annotations` or others) with the expected ones.

    Raises:
        UserError: the file is not a json of annotations, or a list has another length.
    """
    coco = open_official(path)
    lists = {**coco.head, "annotations": coco.annotations}
    for name, number in expected.items():
        if len(lists.get(name, ())) != number:
            raise UserError(f"{path}: holds {len(lists.get(name, ()))} {name}, expected {number}")
    return coco


def last_part(name: str) -> str:
    """Return the last part of a file name or URL."""
    return PurePosixPath(file_key(name)).name
