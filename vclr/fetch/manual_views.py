"""Views that a person put in place: compared with their photos, hashed, and recorded like fetched ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vclr.errors import UserError
from vclr.fetch.data_lock import DataLock
from vclr.fetch.hub import hub_name, place_files
from vclr.fetch.manifest import Manifest, list_entries
from vclr.fetch.selection import Wanted
from vclr.files import read_json
from vclr.image_folders.open import MANIFEST, locate, open_folder
from vclr.progress import track
from vclr.views.files import find_suffix, view_name


@dataclass
class Views:
    """Views of a source that a person put in place; all are folders below the data folder.

    Attributes:
        recorded: those that were verified before.
        found: those that must be verified.
        faults: why other folders are not views, in one line each.
    """

    recorded: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    faults: dict[str, str] = field(default_factory=dict)

    def have(self, path: str) -> bool:
        """Tell whether a path is in one of them."""
        return any(path.startswith(f"{view}/") for view in (*self.recorded, *self.found))

    def are_all(self, wanted: Wanted) -> bool:
        """Tell whether nothing else of the source is wanted."""
        assert wanted.source.hub is not None
        here = {*self.recorded, *self.found}
        names = [names for names in wanted.source.hub.places.items() if names[1] in here]
        parts = [Wanted(wanted.source, [part]) for part in wanted.parts]
        return not wanted.is_whole and all(any(part.has(*both) for both in names) for part in parts)


def look(wanted: Wanted, output: Path, manifest: Manifest, lock: DataLock, damaged: Sequence[str]) -> Views:
    """Find the wanted views that a person has put in place.

    Views whose download has begun are not among them, nor are those whose files `data.lock` lists one by one: these are
    verified by their hashes, like everything that is fetched.
    """
    hub, views = wanted.source.hub, Views()
    if hub is None or not hub.photos:
        return views
    known = lock.listing(hub_name(hub))
    listed = [file.path for file in place_files(hub, known).values() if file.unpack is None] if known else []
    for prefix, place in hub.places.items():
        if place not in hub.photos or not wanted.has(prefix, place) or manifest.has_downloaded(place):
            continue
        if any(path.startswith(f"{place}/") for path in listed):
            continue
        record = manifest.folders.get(place)
        if record is not None and place not in damaged and not manifest.changed(record, place):
            views.recorded += (place,)
        elif fault := find_fault(output / place, output / hub.photos[place]):
            views.faults[place] = fault
        else:
            views.found += (place,)
    return views


def find_fault(view: Path, photos: Path) -> str:
    """Say in one line why a folder, judged by its file names, is not a view of all photos; empty if it is."""
    if not view.is_dir() or not any(view.iterdir()):
        return f"{view}: is missing or empty"
    if locate(photos) is None:
        return f"{view}: cannot be compared with its photos, because {photos} does not exist; fetch them first"
    try:
        names, pictures = open_folder(photos).image_names(), open_folder(view)
    except UserError as error:  # one of them holds no image
        return str(error)
    missing = [name for name in names if find_suffix(pictures, name) is None]
    if missing:
        return f"{view}: has no file for {len(missing)} of {len(names)} photos, for example {missing[0]}"
    return ""


def list_view(view: Path, photos: Path, quiet: bool = False) -> dict[str, dict[str, Any]]:
    """Return size and hash of each file of a view in which `find_fault` found no fault.

    Raises:
        UserError: a file is not an image or not of its photo's size, or a manifest in the folder disagrees.
    """
    pictures, originals = open_folder(view), open_folder(photos)
    for name in track(originals.image_names(), f"comparing {view} with its photos", quiet):
        picture = view_name(name, find_suffix(pictures, name) or "")
        has, wanted = pictures.read_header(picture), originals.read_header(name)
        if (has.width, has.height) != (wanted.width, wanted.height):
            raise UserError(
                f"{pictures.path_of(picture)}: is {has.width}x{has.height}, its photo {name} is "
                f"{wanted.width}x{wanted.height}; a view must have the size of its photo"
            )
    entries = list_entries(view, quiet)
    if entries.pop(MANIFEST, None) is not None:
        _compare_manifest(view, entries)
    return entries


def _compare_manifest(view: Path, entries: dict[str, dict[str, Any]]) -> None:
    content = read_json(view / MANIFEST)
    listed = content.get("files") if isinstance(content, dict) else None
    if not isinstance(listed, dict):
        raise UserError(f"{view / MANIFEST}: is not a manifest of vclr; remove it to have a new one written")
    for name in sorted({*listed, *entries}):
        said = listed.get(name)
        is_same = isinstance(said, dict) and said.get("sha256") == entries.get(name, {}).get("sha256")
        if not is_same:
            raise UserError(
                f"{view / MANIFEST}: does not agree with {name}; put the files in place again, or remove the "
                "manifest to have a new one written"
            )
