"""Fetch one source: download, verify, unpack, count and record it, and resume an earlier run."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from vclr.coco.official import check_counts
from vclr.errors import UserError
from vclr.fetch import manual as by_hand
from vclr.fetch import manual_views
from vclr.fetch.archive import count_members, unpack
from vclr.fetch.checksums import Found, hash_file
from vclr.fetch.data_lock import DataLock
from vclr.fetch.download import download
from vclr.fetch.http_session import HttpSession
from vclr.fetch.hub import hub_name
from vclr.fetch.manifest import Manifest, list_entries
from vclr.fetch.plan import Item, Plan, State, make_plan
from vclr.fetch.selection import Wanted
from vclr.fetch.settings import Settings
from vclr.fetch.sources import archive_stem
from vclr.fetch.transfer import SMALLEST_BLOCK
from vclr.file_lock import lock_file
from vclr.files import sha256
from vclr.image_folders.open import MANIFEST
from vclr.progress import Progress

log = logging.getLogger("vclr.fetch")

SMALL = 2 * SMALLEST_BLOCK  # bytes; smaller files are downloaded several at once, not in parts
NAMED = 5  # damaged files that a message names
SECONDS_BETWEEN_SAVES = 10.0


def fetch_source(wanted: Wanted, plan: Plan, settings: Settings) -> None:
    """Fetch a source; one process at a time.

    Args:
        wanted: the source and its parts.
        plan: the work that was left a moment ago; another process may have done it since.
        settings: how to fetch.

    Raises:
        UserError: in one line, what failed.
    """
    if plan.is_done and plan.is_in_lock and not settings.verify and not settings.update_lock:
        if plan.source.hub is not None:
            Manifest(plan.source, settings.output).write_views()  # Snakemake deletes outputs of what it runs again
        return
    with _alone(settings.output / wanted.source.folder / ".fetch.lock", wanted.source.name):
        lock = DataLock(settings.output)
        if plan.listing is not None and wanted.source.hub is not None:
            lock.record_listing(hub_name(wanted.source.hub), plan.listing, replace=settings.update_lock)
        damaged = _find_damaged(wanted, plan, settings, lock) if settings.verify else []
        is_by_hand = plan.is_by_hand or any(path in plan.recorded_views for path in damaged)
        if damaged and is_by_hand:
            raise UserError(f"{wanted.source.name}: damaged: {_name_some(damaged)}; put them in place again")
        plan = make_plan(wanted, settings, lock, damaged, plan.listing)
        if settings.offline:
            refuse_missing([plan], settings)
        with HttpSession() as session:
            _SourceFetch(plan, settings, lock, session).run()


def refuse_missing(plans: Sequence[Plan], settings: Settings) -> None:
    """Refuse plans that need the network.

    Raises:
        UserError: names the missing files.
    """
    missing = [item.file.path for plan in plans for item in plan.items if item.needs_network]
    if missing:
        raise UserError(
            f"offline ({settings.offline}): missing or damaged: {_name_some(missing)}; "
            "fetch them on a machine with network access"
        )


@contextmanager
def _alone(path: Path, name: str) -> Iterator[None]:
    """Hold the lock of a source. If another process holds it, log that and wait."""
    busy = f"{name}: another process fetches it ({path} is locked); waiting for it to finish"
    try:
        file = lock_file(path, busy, timeout=0)
    except UserError:
        log.info(busy)
        file = lock_file(path, busy, timeout=math.inf)
    with file:
        yield


def _find_damaged(wanted: Wanted, plan: Plan, settings: Settings, lock: DataLock) -> list[str]:
    """Hash all recorded files again, and return the downloads and folders that have changed."""
    manifest = Manifest(wanted.source, settings.output)
    plan = make_plan(wanted, settings, lock, listing=plan.listing)
    adopted = [path for item in plan.items if item.state is State.FOUND for path in item.file.yields]
    if changed := manifest.damaged(adopted, settings.quiet):
        names = _name_some([name for listed in changed.values() for name in listed])
        fix = "put them in place again, or remove them to fetch them"
        raise UserError(f"{wanted.source.name}: damaged: {names}; {fix}")
    paths = [item.file.path for item in plan.items if item.state is State.THERE]
    paths += [*plan.recorded_views, *([*manifest.folders, *manifest.files] if plan.is_by_hand else [])]
    damaged = manifest.damaged(paths, settings.quiet)
    for path, files in damaged.items():
        log.warning("%s: damaged: %s", path, _name_some(files))
    return list(damaged)


def _name_some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return f"{', '.join(paths[:NAMED])}{more}"


class _SourceFetch:
    """The work on one source, while its lock is held."""

    def __init__(self, plan: Plan, settings: Settings, lock: DataLock, session: HttpSession) -> None:
        self.plan, self.settings, self.lock, self.session = plan, settings, lock, session
        self.source, self.output, self.quiet = plan.source, settings.output, settings.quiet
        self.manifest = Manifest(plan.source, settings.output)
        self.saved_at = time.monotonic()

    def run(self) -> None:
        if self.plan.unlisted:
            raise UserError(self.plan.unlisted)
        try:
            if self.plan.is_by_hand and not self.plan.is_verified:
                by_hand.verify(self.source, self.output, self.manifest, self.quiet)
            for place in self.plan.views_by_hand:
                self._adopt_view(place)
            self._fetch_all(self.plan.items)
            for path in self.plan.to_count:
                self._say(f"{self.output / path}: counting")
                check_counts(self.output / path, self.source.counts[path])
                self.manifest.counts[path] = dict(self.source.counts[path])
        finally:
            self._save(at_once=True)
        self.manifest.write_views()
        self._say(f"{self.source.name}: complete")

    def _fetch_all(self, items: Sequence[Item]) -> None:
        self._fetch_small([item for item in items if _is_small(item)])
        for item in items:
            if item.state is State.FOUND:
                self._adopt(item)
            elif not item.is_done and not _is_small(item):
                self._fetch(item)
        self._record_in_lock(items)

    def _fetch_small(self, items: Sequence[Item]) -> None:
        """Download many small files, several at once."""
        if not items:
            return
        total = sum(item.file.bytes or 0 for item in items)
        progress = Progress(f"{self.source.name}, small files", total, quiet=self.quiet, is_bytes=True)
        pool = ThreadPoolExecutor(self.settings.parts)
        try:
            tasks = {pool.submit(self._download, item, Progress("", None, quiet=True), 1): item for item in items}
            for task in as_completed(tasks):
                url, found = task.result()
                self.manifest.record_file(tasks[task].file.path, url, found.bytes, found.sha256)
                progress.advance(found.bytes)
                self._save()
        except BaseException:
            self.session.interrupted.set()  # otherwise the pool waits for the downloads under way
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            progress.close()

    def _fetch(self, item: Item) -> None:
        """Download a file, or resume its download, and unpack it."""
        target = self.output / item.file.path
        if item.state is not State.ARRIVED or not self._is_right(item, target):
            progress = Progress(target.name, item.file.planned_bytes, item.received, self.quiet, is_bytes=True)
            try:
                url, found = self._download(item, progress, self.settings.parts)
            finally:
                progress.close()
            self.manifest.record_file(item.file.path, url, found.bytes, found.sha256)
        self._save(at_once=target.stat().st_size >= SMALL)
        if item.is_unpacked:
            self._unpack(item, target)
        elif item.stays_packed:
            folder = archive_stem(target.name)
            expected, count = item.file.yields[f"{item.file.unpack}/{folder}"], count_members(target, folder)
            if count != expected:
                raise UserError(f"{target}: holds {count} files in {folder}, expected {expected}")

    def _is_right(self, item: Item, target: Path) -> bool:
        """Verify a file that is there already, and record it; return False if it must be downloaded again.

        Raises:
            UserError: `data.lock` has another file; or the file is wrong and the network is forbidden.
        """
        found, record = hash_file(target), self.manifest.files.get(item.file.path)
        difference = item.expected.difference(found)
        if difference and item.expected.origin and (record is None or record["sha256"] == found.sha256):
            raise UserError(f"{target}: {difference}; or remove the file to download that one")
        is_known = record is not None and not item.expected.has_checksum and not self.settings.update_lock
        if is_known and record is not None and record["sha256"] != found.sha256:
            difference = f"sha256 is {found.sha256}, was {record['sha256']}"
        if not difference:
            if record is None or record["sha256"] != found.sha256:
                self.manifest.record_file(item.file.path, "", found.bytes, found.sha256)
            return True
        if self.settings.offline:
            raise UserError(f"{target}: {difference}; offline ({self.settings.offline}), so it is not downloaded again")
        log.warning("%s: %s; downloading it again", target, difference)
        return False

    def _download(self, item: Item, report: Progress, parts: int) -> tuple[str, Found]:
        settings, target = self.settings, self.output / item.file.path
        try:
            return download(target, item.addresses, item.expected, settings.retry, report, self.session, parts)
        except UserError as error:
            known = self.lock.listing(hub_name(self.source.hub)) if self.source.hub is not None else None
            if known is not None and item.file not in self.source.files:
                hint = f"{self.lock.path} has the hub's listing of {known.since}; --update-lock lists it anew"
                raise UserError(f"{error} ({hint})") from None
            raise

    def _unpack(self, item: Item, target: Path) -> None:
        file = item.file
        assert file.unpack is not None
        limit = None if file.unpacked_bytes is None else 2 * file.unpacked_bytes
        progress = Progress(f"unpacking {target.name}", file.unpacked_bytes, quiet=self.quiet, is_bytes=True)
        yields = {str(PurePosixPath(path).relative_to(file.unpack)): count for path, count in file.yields.items()}
        try:
            entries = unpack(target, self.output / file.unpack, limit, yields, file.strip, progress.advance)
        finally:
            progress.close()
        entries.pop(MANIFEST, None)  # a view gets a new manifest
        self.manifest.record_unpacked(file.path, file.unpack, entries)
        self._save(at_once=True)  # the archive goes when its contents are known
        if not item.keeps_archive:
            target.unlink()

    def _adopt(self, item: Item) -> None:
        """Record files that were unpacked by hand, for a later --verify: sizes in folders, and the hash of a json."""
        for path in item.file.yields:
            if path not in self.manifest.files and (self.output / path).is_file():
                self.manifest.record_file(path, "", (self.output / path).stat().st_size, sha256(self.output / path))
            elif path not in self.manifest.folders and (self.output / path).is_dir():
                entries = list_entries(self.output / path, hashed=False)
                self.manifest.record_folder(path, entries, note="was there already: counted, not hashed")

    def _adopt_view(self, place: str) -> None:
        """Verify and record a view that a person has put in place."""
        assert self.source.hub is not None
        entries = manual_views.list_view(self.output / place, self.output / self.source.hub.photos[place], self.quiet)
        self.manifest.record_folder(place, entries, note="put there by hand: has a file of each photo's size")
        self._say(f"{self.output / place}: put there by hand: {len(entries)} files, compared with their photos")

    def _record_in_lock(self, items: Sequence[Item]) -> None:
        """Record the files for which nobody publishes a checksum."""
        entries = {}
        for item in items:
            record, entry = self.manifest.files.get(item.file.path), self.lock.entry(item.file.path)
            if item.file.is_published or record is None:
                continue
            if entry is None or (self.settings.update_lock and entry.sha256 != record["sha256"]):
                entries[item.file.path] = record
        self.lock.record_files(entries)

    def _save(self, at_once: bool = False) -> None:
        """Write the manifest; from time to time while many small files arrive."""
        if at_once or time.monotonic() - self.saved_at > SECONDS_BETWEEN_SAVES:
            self.manifest.save()
            self.saved_at = time.monotonic()

    def _say(self, line: str) -> None:
        if not self.quiet:
            print(line, flush=True)


def _is_small(item: Item) -> bool:
    size = item.file.bytes
    return item.needs_network and size is not None and size < SMALL and item.file.unpack is None
