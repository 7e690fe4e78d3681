"""`manifest.json` of a source: what was fetched, its addresses and license, and the hash of every file.

    {"source": ..., "folder": ..., "title": ..., "homepage": ..., "licence": {...},
     "files": {path: {"url": ..., "bytes": ..., "sha256": ..., "fetched": date,
                      "unpacked": {"folder": ..., "num_files": ..., "bytes": ..., "files": {...}}}},
     "folders": {path: {"num_files": ..., "bytes": ..., "files": {...}}},
     "counts": {json: {list in it: its length}}
    }

`files` are downloads; without `unpacked`, a download is still at its path. `folders` were filled by hand.
Paths are relative to the data folder, those of `files` within them to their folder; each has `bytes` and `sha256`. The
key `licence` keeps its first spelling, because trainings hash the manifests of views.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from vclr.errors import UserError
from vclr.fetch.data_lock import today
from vclr.fetch.sources import Source
from vclr.files import read_json, sha256, write_entries, write_json
from vclr.progress import track

Entries = Mapping[str, Mapping[str, Any]]


class Manifest:
    """Read and extend the manifest of a source.

    Args:
        source: the source.
        output: the data folder.
    """

    def __init__(self, source: Source, output: Path) -> None:
        self.source, self.output = source, output
        self.path = output / source.folder / "manifest.json"
        content = self._read()
        self.files: dict[str, dict[str, Any]] = content.get("files", {})
        self.folders: dict[str, dict[str, Any]] = content.get("folders", {})
        self.counts: dict[str, dict[str, int]] = content.get("counts", {})
        self.is_new = False  # whether something was recorded

    def record_file(self, path: str, url: str, num_bytes: int, sha256: str, **facts: Any) -> None:
        self.is_new = True
        self.files[path] = {"url": url, "bytes": num_bytes, "sha256": sha256, "fetched": today(), **facts}
        license = next((file.license for file in self.source.files if file.path == path), None)
        if license is not None:
            self.files[path]["licence"] = asdict(license)

    def record_unpacked(self, path: str, folder: str, entries: Entries) -> None:
        """Record the contents of an archive."""
        self.is_new = True
        self.files[path]["unpacked"] = _sum_up({"folder": folder}, entries)

    def has_downloaded(self, folder: str) -> bool:
        """Tell whether a file in a folder was downloaded."""
        return next(self._below(folder, downloads_alone=True), None) is not None

    def record_folder(self, path: str, entries: Entries, **facts: Any) -> None:
        self.is_new = True
        self.folders[path] = _sum_up({**facts, "fetched": today()}, entries)

    def save(self) -> None:
        source = self.source
        facts = {"source": source.name, "folder": source.folder, "title": source.title, "homepage": source.homepage}
        contents = {
            "files": dict(sorted(self.files.items())),
            "folders": dict(sorted(self.folders.items())),
            "counts": dict(sorted(self.counts.items())),
        }
        write_json(self.path, {**facts, "licence": asdict(source.license), **contents}, indent=1)

    def write_views(self) -> None:
        """Write a manifest for each view outside the source's folder; trainings hash it."""
        places = self.source.hub.places.values() if self.source.hub is not None else ()
        for place in (place for place in places if place.startswith("views/")):
            if (self.output / place / "manifest.json").is_file() and not self.is_new:
                continue
            entries = {path.removeprefix(f"{place}/"): entry for path, entry in self._below(place)}
            if entries:
                terms = asdict(self.source.license)
                write_entries(self.output / place, entries, source=self.source.name, licence=terms)

    def _below(self, place: str, downloads_alone: bool = False) -> Iterator[tuple[str, Any]]:
        """Yield path, size and hash of every file in a folder: downloaded, unpacked, or put there by hand."""
        by_hand = self.folders.get(place, {"files": {}})["files"] if not downloads_alone else {}
        yield from ((f"{place}/{name}", entry) for name, entry in by_hand.items())
        for path, record in self.files.items():
            unpacked = record.get("unpacked", {"folder": "", "files": {}})
            found = {f"{unpacked['folder']}/{name}": entry for name, entry in unpacked["files"].items()}
            for name, entry in (found or {path: record}).items():
                if name.startswith(f"{place}/"):
                    yield name, {"bytes": entry["bytes"], "sha256": entry["sha256"]}

    def holds(self, path: str, is_packed: bool) -> bool:
        """Tell by sizes whether a recorded download, or everything that was unpacked from it, is there.

        Args:
            path: path of the download.
            is_packed: whether an archive may stay packed.
        """
        record = self.files.get(path)
        if record is None:
            return False
        if "unpacked" in record:
            return not self.changed(record["unpacked"])
        return is_packed and _size(self.output / path) == record["bytes"]

    def changed(self, record: Mapping[str, Any], folder: str | None = None) -> list[str]:
        """Return the files of a folder that are missing or whose sizes have changed."""
        folder = folder or record["folder"]
        sizes: dict[str, dict[str, int]] = {}
        wrong = []
        for path, entry in record["files"].items():
            below, _, name = path.rpartition("/")
            if below not in sizes:
                sizes[below] = _sizes(self.output / folder / below)
            if sizes[below].get(name) != entry["bytes"]:
                wrong.append(f"{folder}/{path}")
        return wrong

    def damaged(self, paths: Iterable[str], quiet: bool = False) -> dict[str, list[str]]:
        """Hash downloads and folders again.

        Returns:
            For each download or folder that has changed, the files at fault.
        """
        found = {}
        for path in paths:
            if path in self.folders:
                wrong = self._hash_all(self.folders[path]["files"], path, quiet)
            elif "unpacked" in self.files.get(path, {}):
                record = self.files[path]["unpacked"]
                wrong = self._hash_all(record["files"], record["folder"], quiet)
            elif path in self.files:
                wrong = [] if self._is_same(self.output / path, self.files[path]) else [path]
            else:
                continue
            if wrong:
                found[path] = wrong
        return found

    def _hash_all(self, entries: Entries, folder: str, quiet: bool) -> list[str]:
        return [
            f"{folder}/{path}"
            for path in track(list(entries), f"verifying {folder}", quiet)
            if not self._is_same(self.output / folder / path, entries[path])
        ]

    def _is_same(self, path: Path, entry: Mapping[str, Any]) -> bool:
        return _size(path) == entry["bytes"] and entry["sha256"] in (None, sha256(path))

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        content = read_json(self.path)
        try:
            for entry in content.get("files", {}).values():
                _ = entry["bytes"] + 0, (entry.get("unpacked") or {"files": {}, "folder": ""})["files"].values()
            for entry in content.get("folders", {}).values():
                entry["files"].values()
        except (AttributeError, KeyError, TypeError):
            raise UserError(f"{self.path}: is not a manifest of `vclr fetch`; remove it to begin anew") from None
        return content  # type: ignore[no-any-return]


def list_entries(folder: Path, quiet: bool = False, hashed: bool = True) -> dict[str, dict[str, Any]]:
    """Return size and hash (None without hashing) of each file below a folder, except hidden ones."""
    paths = list_files(folder)
    entries = {}
    for path in track(paths, f"hashing {folder}", quiet) if hashed else paths:
        digest = sha256(folder / path) if hashed else None
        entries[path] = {"bytes": (folder / path).stat().st_size, "sha256": digest}
    return entries


def list_files(folder: Path) -> list[str]:
    """Return the relative paths of all files below a folder, except hidden ones."""
    paths = []
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = os.path.relpath(root, folder)
        prefix = "" if below == "." else f"{below}/"
        paths += [f"{prefix}{name}" for name in sorted(names) if not name.startswith(".")]
    return paths


def count_files(path: Path) -> int:
    """Return how many files are below a folder; 1 for a file, 0 if it does not exist."""
    return 1 if path.is_file() else len(list_files(path))


def _sum_up(facts: Mapping[str, Any], entries: Entries) -> dict[str, Any]:
    num_bytes = sum(entry["bytes"] for entry in entries.values())
    return {**facts, "num_files": len(entries), "bytes": num_bytes, "files": dict(sorted(entries.items()))}


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _sizes(folder: Path) -> dict[str, int]:
    """Return the sizes of the files of one folder by name."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as entries:
        return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
