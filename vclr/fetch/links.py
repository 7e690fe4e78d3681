"""Photos that one data set shares with another: a folder of second names for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vclr.coco.file import open_coco
from vclr.errors import UserError
from vclr.fetch.manifest import list_entries
from vclr.fetch.sources import Links
from vclr.file_names import leaves_folder
from vclr.files import atomic_folder, link_file
from vclr.image_folder import PackedFolder, locate, open_folder
from vclr.progress import track


def link_photos(output: Path, folder: str, links: Links, quiet: bool = False) -> dict[str, dict[str, Any]]:
    """Fill a folder with a second name for the photo of each image of a json, all of them or none.

    The photo is found by the last two parts of the image's address, `train2017/000000000009.jpg`. Where the photos are
    packed, in `train2017.zip`, it is copied out of there.

    Returns:
        Size of each file by its name; the hashes are those of the photos and not computed again.

    Raises:
        UserError: an image has no such address, or its photo is not there.
    """
    annotations, photos = output / links.annotations, output / links.photos
    images = open_coco(annotations).images
    with atomic_folder(output / folder) as partial:
        for position, image in enumerate(track(images, f"linking {folder}", quiet)):
            entry = f"{annotations}: images[{position}]"
            below, name = _photo_of(image, links.address, entry)
            if leaves_folder(f"{below}/{name}"):
                raise UserError(f"{entry}: its address names {below}/{name}, which leaves the folder {photos}")
            if locate(photos / below) is None or name not in (files := open_folder(photos / below)):
                raise UserError(f"{entry}: its photo {photos / below / name} is not there")
            if isinstance(files, PackedFolder):
                (partial / name).write_bytes(files.read(name))
            else:
                link_file(files.path_of(name), partial / name)
    return list_entries(output / folder, hashed=False)


def is_packed(output: Path, links: Links) -> bool:
    """Tell whether photos have to be copied out of archives."""
    return any((output / links.photos).glob("*.zip"))


def _photo_of(image: Any, key: str, entry: str) -> tuple[str, str]:
    address = image.get(key) if isinstance(image, dict) else None
    parts = address.split("/")[-2:] if isinstance(address, str) else []
    if len(parts) != 2 or any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        raise UserError(f"{entry}: `{key}` is {address!r}, not the address of a photo")
    return parts[0], parts[1]
