"""The wanted files of a repository on the hub: those that it lists, or those known without a listing."""

from __future__ import annotations

from pathlib import PurePosixPath

from vclr.errors import UserError
from vclr.fetch import hub as hugging_face
from vclr.fetch.data_lock import DataLock
from vclr.fetch.hub import HubFile, Listing
from vclr.fetch.manual_views import Views
from vclr.fetch.selection import Wanted, refuse_part
from vclr.fetch.settings import Settings
from vclr.fetch.sources import RemoteFile, Source


def list_wanted(wanted: Wanted, listing: Listing) -> list[RemoteFile]:
    """Return the files of a repository that are wanted."""
    hub = wanted.source.hub
    assert hub is not None
    placed = hugging_face.place_files(hub, listing)
    names = [text for path, file in placed.items() for text in (path, file.path)]
    own = [file.path for file in wanted.source.files]
    for part in wanted.parts:
        alone = Wanted(wanted.source, [part])
        if not alone.has(*names, *own):
            refuse_part(wanted.source, part, [*placed, *(PurePosixPath(path).name for path in own)])
    return [file for path, file in placed.items() if wanted.has(path, file.path)]


def guess_wanted(wanted: Wanted, settings: Settings, views: Views, why: str) -> tuple[list[RemoteFile], str]:
    """Return the files of a repository that are known by name or may be on a mirror, and why the others are unknown.

    A mirror is a data folder, in which folders may be packed: `MIRROR/views/coco2017/depth.zip`.
    """
    source, hub = wanted.source, wanted.source.hub
    assert hub is not None
    listing = Listing(hub.revision, dict.fromkeys(hub.names, HubFile(None, None)))
    files = [file for path, file in hugging_face.place_files(hub, listing).items() if wanted.has(path, file.path)]
    folders = {prefix: place for prefix, place in hub.places.items() if prefix.endswith("/")}
    wanted_folders = {prefix: place for prefix, place in folders.items() if wanted.has(prefix, place)}
    if settings.mirror:
        for prefix, place in wanted_folders.items():
            top = (PurePosixPath(prefix).name, PurePosixPath(place).name)
            files.append(RemoteFile(path=f"{place}.zip", unpack=place, strip=top))
        return files, ""
    reasons = [views.faults[place] for place in wanted_folders.values() if place in views.faults]
    is_covered = all(views.have(f"{place}/") for place in wanted_folders.values()) and (files or wanted_folders)
    if is_covered:
        return files, ""
    hint = f"; by hand: {'; '.join(reasons)}" if reasons else ""
    if source.manual is not None:
        hint += "; put it in place by hand, as described above, or use a mirror (--mirror)"
    elif not reasons:
        hint = "; you can also put the files in place by hand or use a --mirror, see docs/data.md"
    return files, f"{why}{hint}"


def find_listing(source: Source, settings: Settings, lock: DataLock, fresh: Listing | None) -> Listing:
    """Return the listing in `data.lock` or, without one, the hub's own."""
    assert source.hub is not None
    known = lock.listing(hugging_face.hub_name(source.hub))
    if known is not None and not settings.update_lock:
        return known
    if fresh is not None:
        return fresh
    if settings.offline:
        name = hugging_face.hub_name(source.hub)
        raise UserError(f"{name}: {lock.path} has no listing of it, and {settings.offline} forbids asking the hub")
    return hugging_face.list_hub(source.hub)
