"""`data.lock` beside the data folder: size and hash, at their first fetch, of files without a published checksum.

It belongs in git: a fetch on another machine, or a year later, gets the same bytes or fails with an error.

    {"files": {path: {"bytes": ..., "sha256": ..., "since": date, "url": ...}},
     "listings": {repository of the hub: {"commit": ..., "since": date, "files": {path: {"bytes": ..., "sha256": ...}}}}
    }
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from vclr.errors import UsageError, UserError
from vclr.fetch.hub import Listing
from vclr.file_lock import lock_file
from vclr.files import atomic_path, read_json

GUARDED = 60.0  # seconds to wait for another process that writes it


class LockedFile(msgspec.Struct):
    """Size and hash of a file at its first fetch."""

    bytes: int
    sha256: str
    since: str
    url: str = ""


class LockedListing(Listing, frozen=True):
    """The files of a repository at its first fetch."""

    since: str


class Content(msgspec.Struct):
    """The content of `data.lock`."""

    files: dict[str, LockedFile] = {}
    listings: dict[str, LockedListing] = {}


class DataLock:
    """Read and extend `data.lock`.

    Args:
        output: the data folder.
    """

    def __init__(self, output: Path) -> None:
        named = output if output.name not in ("", "..") else output.resolve()
        if not named.name:
            raise UsageError(f"--output {output}: cannot be the data folder; give it a name")
        self.path = named.with_suffix(".lock")
        self.guard = output / ".data.lock"  # locked by the process that writes
        self.content = self._read()

    def entry(self, path: str) -> LockedFile | None:
        """Return what is recorded for a file."""
        return self.content.files.get(path)

    def listing(self, repository: str) -> LockedListing | None:
        """Return the listing of a repository from its first fetch."""
        return self.content.listings.get(repository)

    def record_files(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Record the `bytes`, `sha256` and `url` of files by their paths."""
        self._record(
            {path: LockedFile(one["bytes"], one["sha256"], today(), one["url"]) for path, one in records.items()}
        )

    def record_listing(self, repository: str, listing: Listing, replace: bool = False) -> None:
        """Record a listing of the hub if there is none yet; with `replace`, also if it is of another commit."""
        known = self.listing(repository)
        if known is None or (replace and known.commit != listing.commit):
            self._record(listings={repository: LockedListing(listing.commit, listing.files, today())})

    def _record(
        self, files: Mapping[str, LockedFile] | None = None, listings: Mapping[str, LockedListing] | None = None
    ) -> None:
        if not files and not listings:
            return
        with lock_file(self.guard, f"{self.guard}: another process has held it for {GUARDED:.0f} s", GUARDED):
            self.content = self._read()  # others may have written
            self.content.files |= files or {}
            self.content.listings |= listings or {}
            with atomic_path(self.path) as partial:
                text = json.dumps(msgspec.to_builtins(self.content), indent=1, sort_keys=True)
                partial.write_text(text + "\n", encoding="utf-8")

    def _read(self) -> Content:
        try:
            return msgspec.convert(read_json(self.path) if self.path.exists() else {}, Content)
        except msgspec.ValidationError as error:
            says = f"is not a lock file of `vclr fetch` ({error}); restore it from git"
            raise UserError(f"{self.path}: {says}") from None


def today() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d")
