"""The sources, and the parts of them, that names on the command line mean, and the sources that these require."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NoReturn

from vclr.errors import UsageError, nearest
from vclr.fetch.sources import RemoteFile, Source

log = logging.getLogger("vclr.fetch")


@dataclass
class Wanted:
    """A source, and the parts of it that are wanted."""

    source: Source
    parts: list[str] = field(default_factory=list)
    is_whole: bool = False

    def has(self, *paths: str) -> bool:
        """Tell whether one of the paths is wanted."""
        return self.is_whole or any(_is_part(part, path, self.source) for part in self.parts for path in paths)

    def files(self) -> list[RemoteFile]:
        """Return the files of the catalog that are wanted."""
        return [file for file in self.source.files if self.has(file.path, *file.yields)]

    def asks_hub(self) -> bool:
        """Tell whether the hub has, or may have, a part of it."""
        if self.source.hub is None:
            return False
        listed = [file.path for file in self.source.files]
        own = [part for part in self.parts if not any(_is_part(part, path, self.source) for path in listed)]
        return self.is_whole or bool(own)


def select(names: Sequence[str], catalog: Mapping[str, Source]) -> list[Wanted]:
    """Turn `source` and `source/part` into the sources to fetch, each after those that it requires."""
    selected: dict[str, Wanted] = {}
    for name in names:
        _add(name, catalog, selected)
    return list(selected.values())


def _add(name: str, catalog: Mapping[str, Source], selected: dict[str, Wanted]) -> None:
    source_name, _, part = name.strip("/").partition("/")
    if source_name not in catalog:
        near = nearest(source_name, catalog)
        raise UsageError(f"unknown source {source_name!r}; nearest: {near}; there are {', '.join(catalog)}")
    source = catalog[source_name]
    if part == "images" and source.requires:  # a folder of links, in earlier versions
        log.warning("%s: its photos are those of %s; fetching all of %s", name, ", ".join(source.requires), source_name)
        part = ""
    if part:
        _check_part(source, part)
    known = selected.get(source_name)
    if known is not None and known.is_whole:
        return
    selected[source_name] = Wanted(source, [*(known.parts if known else []), *([part] if part else [])], not part)
    if source.requires and not part:
        for required in source.requires:
            _add(required, catalog, selected)
        selected[source_name] = selected.pop(source_name)  # it comes after those


def _check_part(source: Source, part: str) -> None:
    """Refuse a part that nothing in the source can match; the hub's listing is not known here."""
    known = [path for file in source.files for path in (file.path, *file.yields)]
    if any(_is_part(part, path, source) for path in known):
        return
    names = [PurePosixPath(path).name for path in known]
    if source.hub is not None:
        starts = [*source.hub.places, *source.hub.places.values()]
        if any(_is_part(part, start, source) or part.startswith(start) for start in starts):
            return
        names += [start.removeprefix(f"{source.folder}/").strip("/") for start in starts if start]
    refuse_part(source, part, names)


def refuse_part(source: Source, part: str, names: Sequence[str]) -> NoReturn:
    """Raise the error for an unknown part, which names the nearest one."""
    if not names:
        raise UsageError(f"{source.name}/{part}: {source.name} has no parts")
    raise UsageError(f"{source.name}/{part}: there is no such part; nearest: {source.name}/{nearest(part, names)}")


def _is_part(part: str, path: str, source: Source) -> bool:
    """Tell whether a path, the path below the source's folder, or its name starts with a part."""
    texts = path, path.removeprefix(f"{source.folder}/"), PurePosixPath(path).name
    return any(text.startswith(part) for text in texts)
