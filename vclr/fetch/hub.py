"""Hugging Face hub: the files of a repository, their sizes and hashes, and their places below the data folder.

huggingface_hub lists the files and makes their addresses and headers. It does not download them, because
`hf_hub_download` does not keep what `vclr fetch` promises: it starts over after a dropped connection and after a kill,
gives up on a single 503, and does not compare the bytes with their hash.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

import msgspec

from vclr.errors import UserError
from vclr.fetch.sources import Hub, RemoteFile, archive_stem, check_path, is_archive

TIMEOUT = 30.0  # seconds


class HubFile(msgspec.Struct, frozen=True):
    bytes: int | None  # None if only its name is known
    sha256: str | None  # the hub has it for large files


class Listing(msgspec.Struct, frozen=True):
    """The files of a repository at one commit, by their paths there."""

    commit: str
    files: Mapping[str, HubFile]


def list_hub(hub: Hub) -> Listing:
    """Ask the hub, or the server that `HF_ENDPOINT` names, for the files of a repository, with the user's token.

    Raises:
        UserError: in one line, why there is no listing.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
    try:
        info = api.repo_info(hub.repository, repo_type=hub.kind, revision=hub.revision, timeout=TIMEOUT)
        commit = info.sha
        entries = api.list_repo_tree(hub.repository, recursive=True, revision=commit, repo_type=hub.kind)
        files = {
            entry.path: HubFile(entry.size, entry.lfs.sha256 if entry.lfs else None)
            for entry in entries
            if isinstance(entry, RepoFile)
        }
    except Exception as error:  # the errors of its client, of HTTP and of json have no common base
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{hub_name(hub)}: the hub does not list its files: {reason[:300]}") from None
    if commit is None or not files:
        raise UserError(f"{hub_name(hub)}: the hub lists no files")
    return Listing(commit, files)


def hub_name(hub: Hub) -> str:
    """Return the path of a repository on the hub's site."""
    return f"{'datasets/' if hub.kind == 'dataset' else ''}{hub.repository}"


def place_files(hub: Hub, listing: Listing) -> dict[str, RemoteFile]:
    """Return, for each path in the repository, the file to download and the folder into which an archive is unpacked.

    An archive is unpacked into the place of the folder that contains it or that has its name.
    """
    placed = {}
    for path, entry in sorted(listing.files.items()):
        check_path(path, hub_name(hub))
        prefix = _prefix_of(path, hub.places)
        if prefix is None or _prefix_of(path, hub.skip) is not None:
            continue
        folder = hub.places[prefix]
        is_below = path.startswith(prefix) and (prefix.endswith("/") or not prefix)
        rest = path[len(prefix) :] if is_below else PurePosixPath(path).name
        unpack = folder if is_archive(path) and (prefix.endswith("/") or not prefix) else None
        placed[path] = RemoteFile(
            path=f"{folder}/{rest}",
            urls=(_address(hub, path, listing.commit),),
            bytes=entry.bytes,
            sha256=entry.sha256,
            unpack=unpack,
            strip=tuple(name for name in (PurePosixPath(prefix).name, PurePosixPath(folder).name) if name and unpack),
        )
    return placed


def _prefix_of(path: str, prefixes: Iterable[str]) -> str | None:
    """Return the longest prefix of a path; an archive `folder.zip` or `folder_1.tar` counts as part of `folder/`."""

    def fits(prefix: str) -> bool:
        is_top_archive = is_archive(path) and "/" not in path and prefix.endswith("/")
        return path.startswith(prefix) or (is_top_archive and archive_stem(path).startswith(prefix[:-1]))

    return max(filter(fits, prefixes), key=len, default=None)


def _address(hub: Hub, path: str, commit: str) -> str:
    from huggingface_hub import hf_hub_url

    return hf_hub_url(hub.repository, path, repo_type=hub.kind, revision=commit, endpoint=os.environ.get("HF_ENDPOINT"))


def hub_headers() -> dict[str, str]:
    """Return the headers that identify the user to the hub, including the token if there is one."""
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented, not listed

    return build_hf_headers(library_name="vclr")
