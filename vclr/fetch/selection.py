"""What names on the command line mean: sources, parts of them, and what these require."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NoReturn

from vclr.errors import UsageError, nearest
from vclr.fetch.sources import RemoteFile, Source


@dataclass
class Wanted:
    """A source, and the parts of it that are wanted; none named: all of it."""

    source: Source
    parts: list[str] = field(default_factory=list)
    is_whole: bool = False

    def has(self, *paths: str) -> bool:
        """Tell whether one of the paths is wanted."""
        return self.is_whole or any(_is_part(part, path, self.source) for part in self.parts for path in paths)

    def links(self) -> list[str]:
        """Return the folders of links that are wanted."""
        return [folder for folder in self.source.links if self.has(folder)]

    def files(self) -> list[RemoteFile]:
        """Return the files of the catalog that are wanted, or needed for its links."""
        needed = {self.source.links[folder].annotations for folder in self.links()}
        return [
            file
            for file in self.source.files
            if self.has(file.path, *file.yields) or needed & {file.path, *file.yields}
        ]

    def asks_hub(self) -> bool:
        """Tell whether the hub has something of it, or may have."""
        if self.source.hub is None:
            return False
        listed = [file.path for file in self.source.files]
        own = [part for part in self.parts if not any(_is_part(part, path, self.source) for path in listed)]
        return self.is_whole or bool(own)


def select(names: Sequence[str], catalog: Mapping[str, Source]) -> list[Wanted]:
    """Turn `source` and `source/part` into what is to be there, what others require first.

    Raises:
        UsageError: there is no such source or part; names the nearest.
    """
    selected: dict[str, Wanted] = {}
    for name in names:
        _add(name, catalog, selected)
    ordered: dict[str, Wanted] = {}
    for name in selected:
        _put_after_required(name, selected, ordered)
    return list(ordered.values())


def _add(name: str, catalog: Mapping[str, Source], selected: dict[str, Wanted]) -> None:
    source_name, _, part = name.strip("/").partition("/")
    if source_name not in catalog:
        near = nearest(source_name, catalog)
        raise UsageError(f"unknown source {source_name!r}; nearest: {near}; there are {', '.join(catalog)}")
    source = catalog[source_name]
    if part:
        _check_part(source, part)
    known = selected.get(source_name)
    if known is not None and known.is_whole:
        return
    wanted = Wanted(source, [*(known.parts if known else []), *([part] if part else [])], is_whole=not part)
    if wanted.links():
        for required in source.requires:
            if required.split("/")[0] != source_name:
                _add(required, catalog, selected)
    selected[source_name] = wanted


def _put_after_required(name: str, selected: Mapping[str, Wanted], ordered: dict[str, Wanted]) -> None:
    for required in selected[name].source.requires:
        other = required.split("/")[0]
        if other in selected and other not in ordered and other != name:
            _put_after_required(other, selected, ordered)
    ordered[name] = selected[name]


def _check_part(source: Source, part: str) -> None:
    """Refuse a part that nothing of the source can be; what the hub lists is not known here."""
    known = [path for file in source.files for path in (file.path, *file.yields)] + list(source.links)
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
    """Say that there is no such part, and which is nearest."""
    if not names:
        raise UsageError(f"{source.name}/{part}: {source.name} has no parts")
    raise UsageError(f"{source.name}/{part}: there is no such part; nearest: {source.name}/{nearest(part, names)}")


def _is_part(part: str, path: str, source: Source) -> bool:
    """Tell whether a path, the same below the source's folder, or its name starts with a part."""
    return any(
        text.startswith(part) for text in (path, path.removeprefix(f"{source.folder}/"), PurePosixPath(path).name)
    )
