"""The plan of a fetch: the files, their sizes and addresses, how much of them is there already, and the disk space."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from urllib.parse import quote

from rich.filesize import decimal

from vclr.errors import UserError
from vclr.fetch import hub as hugging_face
from vclr.fetch import manual as by_hand
from vclr.fetch import manual_views
from vclr.fetch.checksums import Expected
from vclr.fetch.data_lock import DataLock
from vclr.fetch.http_session import Address
from vclr.fetch.hub import Listing
from vclr.fetch.hub_files import find_listing, guess_wanted, list_wanted
from vclr.fetch.manifest import Manifest, count_files
from vclr.fetch.partial import received_bytes
from vclr.fetch.selection import Wanted
from vclr.fetch.settings import Settings
from vclr.fetch.sources import RemoteFile, Source, archive_stem

GUESSED_GROWTH = 1.5  # of an archive whose unpacked size is unknown


class State(Enum):
    """How much of a file has been downloaded."""

    THERE = "complete"
    FOUND = "complete (counted, not fetched here)"
    ARRIVED = "to be verified"
    PARTIAL = "partial"
    MISSING = "to be fetched"


@dataclass(frozen=True)
class Item:
    """A file, and what remains to be done with it."""

    source: Source
    file: RemoteFile
    addresses: tuple[Address, ...]
    expected: Expected
    state: State
    received: int  # bytes that an earlier fetch has left
    stays_packed: bool
    keeps_archive: bool

    @property
    def is_done(self) -> bool:
        return self.state in (State.THERE, State.FOUND)

    @property
    def needs_network(self) -> bool:
        return self.state in (State.PARTIAL, State.MISSING)

    @property
    def to_download(self) -> int:
        """Bytes to download, 0 if the size is unknown."""
        return max((self.file.planned_bytes or 0) - self.received, 0) if self.needs_network else 0

    @property
    def is_unpacked(self) -> bool:
        return self.file.unpack is not None and not self.stays_packed

    @property
    def to_unpack(self) -> int:
        if self.is_done or not self.is_unpacked:
            return 0
        return self.file.unpacked_bytes or int(GUESSED_GROWTH * (self.file.planned_bytes or 0))


@dataclass(frozen=True)
class Plan:
    """What remains to be done for one source."""

    source: Source
    items: tuple[Item, ...] = ()
    by_hand: tuple[str, ...] = ()  # what a person must put in place
    is_by_hand: bool = False  # a person puts all of it in place
    is_verified: bool = True  # whether that was verified
    views_by_hand: tuple[str, ...] = ()  # views that a person has put in place, to be verified
    recorded_views: tuple[str, ...] = ()  # views that a person has put in place, verified before
    to_count: tuple[str, ...] = ()  # json files whose lists must be counted
    listing: Listing | None = None  # the files that the hub has
    unlisted: str = ""  # why they are not known

    @property
    def is_done(self) -> bool:
        is_here = all(item.is_done for item in self.items) and not self.by_hand
        is_known = self.is_verified and not self.to_count and not self.unlisted and not self.views_by_hand
        return is_here and is_known and not self.source.generated

    @property
    def is_in_lock(self) -> bool:
        """Tell whether `data.lock` has every file that it should; with a data folder from elsewhere it may not."""
        return all(item.expected.has_checksum or item.state is State.FOUND for item in self.items)

    @property
    def to_download(self) -> int:
        return sum(item.to_download for item in self.items)


def make_plan(
    wanted: Wanted,
    settings: Settings,
    lock: DataLock,
    damaged: Sequence[str] = (),
    listing: Listing | None = None,
) -> Plan:
    """Plan the fetch of a source. Nothing is written; the hub is asked if `data.lock` has no listing.

    Args:
        wanted: the source and the parts of it.
        settings: how to fetch.
        lock: sizes and hashes of files without a published checksum.
        damaged: downloads and folders whose contents have changed, whatever their sizes.
        listing: the files that the hub has just listed.

    Raises:
        UsageError: the hub has no such part.
    """
    source, output = wanted.source, settings.output
    manifest = Manifest(source, output)
    if source.generated:
        return Plan(source)
    if (plan := _plan_by_hand(source, output, manifest, damaged)) is not None:
        return plan
    look = partial(_look, source=source, manifest=manifest, settings=settings, lock=lock, damaged=damaged)
    items = [look(file, headers={}) for file in wanted.files()]
    views = manual_views.look(wanted, output, manifest, lock, damaged)
    unlisted = ""
    if wanted.asks_hub() and not views.are_all(wanted):
        assert source.hub is not None
        try:
            listing = find_listing(source, settings, lock, listing)
            files = list_wanted(wanted, listing)
        except UserError as error:
            if error.exit_code == 2:
                raise
            files, unlisted = guess_wanted(wanted, settings, views, str(error))
        headers = {} if settings.offline else hugging_face.hub_headers()
        items += [look(file, headers=headers) for file in files if not views.have(file.path)]
    made = [path for item in items for path in (item.file.path, *(() if item.stays_packed else item.file.yields))]
    to_count = tuple(
        path
        for path, numbers in source.counts.items()
        if (settings.verify or manifest.counts.get(path) != numbers)
        and any(path == one or path.startswith(f"{one}/") for one in made)
    )
    plan = Plan(source, tuple(items), to_count=to_count, listing=listing, unlisted=unlisted)
    return replace(plan, views_by_hand=views.found, recorded_views=views.recorded)


def _plan_by_hand(source: Source, output: Path, manifest: Manifest, damaged: Sequence[str]) -> Plan | None:
    """Plan a source that a person puts in place; None if it can be downloaded and is not in place."""
    if source.manual is None:
        return None
    missing = tuple(by_hand.missing_paths(source.manual, output))
    is_recorded = not missing and not damaged and by_hand.is_recorded(source.manual, output, manifest)
    plan = Plan(source, by_hand=missing, is_by_hand=True, is_verified=is_recorded)
    if source.hub is None or is_recorded:
        return plan
    is_downloaded = any(record["url"] for record in manifest.files.values())
    if missing or is_downloaded or by_hand.find_fault(source, output):
        return None
    return plan


def disk_needed(plans: Sequence[Plan]) -> int:
    """Return the most bytes that fetching file after file takes, including archives until they are deleted."""
    held = peak = 0
    for plan in plans:
        for item in plan.items:
            if item.is_done:
                continue
            peak = max(peak, held + item.to_download + item.to_unpack)
            held += item.to_unpack + item.to_download
            if item.is_unpacked and not item.keeps_archive:
                held -= item.file.planned_bytes or 0
    return peak


def free_bytes(output: Path) -> int:
    """Return the free space in the data folder, or in the folder in which it will be created."""
    place = output.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def check_space(plans: Sequence[Plan], output: Path) -> None:
    """Refuse plans that do not fit on the disk.

    Raises:
        UserError: says how much is needed and how much is free.
    """
    needed, free = disk_needed(plans), free_bytes(output)
    if needed > free:
        raise UserError(f"{output}: needs {decimal(needed)}, free are {decimal(free)}; nothing was started")


def _look(
    file: RemoteFile,
    headers: Mapping[str, str],
    source: Source,
    manifest: Manifest,
    settings: Settings,
    lock: DataLock,
    damaged: Sequence[str],
) -> Item:
    """Find out how much of a file is there."""
    packed_folder = f"{file.unpack}/{archive_stem(file.path)}"
    target = settings.output / file.path
    wants_packed = settings.packed or (settings.keep_packed and target.is_file())
    stays_packed = wants_packed and file.path.endswith(".zip") and packed_folder in file.yields
    state, received = State.MISSING, 0
    yields = {settings.output / path: number for path, number in file.yields.items()}
    expected = _expected(file, lock, settings)
    record = manifest.files.get(file.path)
    if file.path not in damaged and manifest.holds(file.path, stays_packed or file.unpack is None):
        is_other = expected.sha256 is not None and record is not None and record["sha256"] != expected.sha256
        state = State.ARRIVED if is_other and target.is_file() else State.MISSING if is_other else State.THERE
    elif target.is_file() and not (file.path in damaged and record is not None and "unpacked" not in record):
        state = State.ARRIVED
    elif record is None and yields and all(path.exists() and count_files(path) == yields[path] for path in yields):
        state = State.FOUND
    elif received := received_bytes(target):
        state = State.PARTIAL
    mirror = f"{settings.mirror.rstrip('/')}/{quote(file.path)}"
    addresses = [Address(mirror)] if settings.mirror else []
    addresses += [Address(url, headers) for url in file.urls]
    return Item(source, file, tuple(addresses), expected, state, received, stays_packed, settings.keep_archives)


def _expected(file: RemoteFile, lock: DataLock, settings: Settings) -> Expected:
    """Return what a file is checked against: what is published, or else what `data.lock` has."""
    entry = lock.entry(file.path)
    if file.is_published:
        return Expected(file.bytes, file.md5, file.sha256)
    if entry is None or settings.update_lock:
        return Expected(file.bytes)
    origin = f"{lock.path} has it since {entry.since}; --update-lock accepts another"
    return Expected(entry.bytes, None, entry.sha256, origin)
