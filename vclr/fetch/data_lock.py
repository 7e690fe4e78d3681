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

from vclr.errors import UsageError, UserError
from vclr.fetch.hub import HubFile, Listing
from vclr.file_lock import lock_file
from vclr.files import atomic_path, read_json

GUARDED = 60.0  # seconds to wait for another process that writes it


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

    def entry(self, path: str) -> dict[str, Any] | None:
        """Return the `bytes`, `sha256` and `since` that are recorded for a file, or None."""
        return self.content["files"].get(path)

    def listing(self, repository: str) -> tuple[Listing, str] | None:
        """Return the listing of a repository from its first fetch, and the date of that fetch."""
        entry = self.content["listings"].get(repository)
        if entry is None:
            return None
        files = {path: HubFile(file["bytes"], file["sha256"]) for path, file in entry["files"].items()}
        return Listing(entry["commit"], files), entry["since"]

    def record_files(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Record the `bytes`, `sha256` and `url` of files by their paths."""
        entries = {
            path: {"bytes": record["bytes"], "sha256": record["sha256"], "since": today(), "url": record["url"]}
            for path, record in records.items()
        }
        self._record("files", entries)

    def record_listing(self, repository: str, listing: Listing, replace: bool = False) -> None:
        """Record a listing of the hub, unless there is one; with `replace`, unless it is of the same commit."""
        known = self.content["listings"].get(repository)
        if known is not None and (not replace or known["commit"] == listing.commit):
            return
        files = {path: {"bytes": file.bytes, "sha256": file.sha256} for path, file in listing.files.items()}
        self._record("listings", {repository: {"commit": listing.commit, "since": today(), "files": files}})

    def _record(self, section: str, entries: Mapping[str, Any]) -> None:
        if not entries:
            return
        with lock_file(self.guard, f"{self.guard}: another process has held it for {GUARDED:.0f} s", GUARDED):
            self.content = self._read()  # others may have written
            self.content[section].update(entries)
            with atomic_path(self.path) as partial:
                partial.write_text(json.dumps(self.content, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def _read(self) -> dict[str, Any]:
        content = read_json(self.path) if self.path.exists() else {}
        if not isinstance(content, dict):
            raise UserError(f"{self.path}: is not a lock file of `vclr fetch`; restore it from git")
        try:
            for entry in content.get("files", {}).values():
                _ = entry["bytes"] + 0, entry["sha256"] + "", entry["since"] + ""
            for entry in content.get("listings", {}).values():
                _ = entry["commit"] + "", entry["since"] + "", [file["bytes"] + 0 for file in entry["files"].values()]
        except (AttributeError, KeyError, TypeError):
            raise UserError(f"{self.path}: is not a lock file of `vclr fetch`; restore it from git") from None
        return {"files": {}, "listings": {}, **content}


def today() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%d")
