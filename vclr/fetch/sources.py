"""The catalog of sources: which files exist, where they come from, their licenses, and their place in the data folder.

`sources.yaml` beside this module holds the public sources; `--catalog FILE.yaml` adds others in the same format. The
fields of the structs below are its keys. Paths are relative to the data folder.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import yaml

from vclr.errors import UserError, nearest

log = logging.getLogger("vclr.fetch")

PACKAGED = Path(__file__).with_name("sources.yaml")
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
OLD_SPELLING = re.compile(r"""^(\s*(?:- )?["']?(?:annotations_)?)licence(["']?\s*:)""", re.MULTILINE)  # of the keys

Count = Annotated[int, msgspec.Meta(ge=0)]
Url = Annotated[str, msgspec.Meta(pattern="^https?://")]
Md5 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Built = TypeVar("Built", bound=msgspec.Struct)


class License(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The terms under which something is published, and whether they allow commercial use."""

    name: str
    commercial: bool
    because: str  # one short sentence
    url: str = ""


class RemoteFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file to download and, if it is an archive, to unpack."""

    path: str
    urls: tuple[Url, ...] = ()  # mirrors, tried in order
    bytes: Count | None = None  # exact; checks the file if nobody publishes a checksum
    about_bytes: Count | None = None  # an estimate, used only for the plan
    md5: Md5 | None = None
    sha256: Sha256 | None = None
    unpack: str | None = None  # folder into which an archive is unpacked
    unpacked_bytes: Count | None = None  # an estimate; an archive that holds more than twice as much is refused
    yields: Mapping[str, Count] = {}  # folder or file -> number of files once unpacked
    strip: tuple[str, ...] = ()  # top folders with these names are left out when the archive is unpacked
    license: License | None = None  # if it differs from the source's

    @property
    def planned_bytes(self) -> int | None:
        return self.bytes if self.bytes is not None else self.about_bytes

    @property
    def is_published(self) -> bool:
        """Whether somebody publishes a checksum; if not, `data.lock` records one."""
        return self.md5 is not None or self.sha256 is not None


class Hub(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A repository of the Hugging Face hub, whose listing says which files it has."""

    repository: str
    kind: Literal["dataset", "model"]
    places: Mapping[str, str]  # prefix of a path in the repository -> folder
    skip: tuple[str, ...] = ()  # prefixes of paths that are not fetched
    revision: str = "main"
    names: tuple[str, ...] = ()  # files that it is known to have, used if the hub does not answer
    photos: Mapping[str, str] = {}  # view that a person may put in place -> its photos


class Manual(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person must put in place, and how it is verified."""

    text: str
    folders: Mapping[str, Count] = {}  # folder -> number of files, 0 if unknown
    annotations: Mapping[str, str] = {}  # json -> folder that has each of its images
    one_is_enough: bool = False  # one of the annotations
    is_flat: bool = False  # images may lie in the folder without the subfolders that their names have


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A data set or a set of weights."""

    name: str
    title: str
    homepage: str
    license: License
    annotations_license: License | None = None  # if annotations are under other terms than photos
    folder: str = ""  # of the manifest; default raw/<name>
    files: tuple[RemoteFile, ...] = ()
    requires: tuple[str, ...] = ()  # sources or parts that have its photos
    hub: Hub | None = None
    manual: Manual | None = None
    counts: Mapping[str, Mapping[str, Count]] = {}  # json -> list in it -> its length
    generated: bool = False  # by the package itself, from no file
    links: Any = None  # of earlier versions; ignored

    def license_of(self, file: RemoteFile) -> License:
        return file.license or self.license


# The struct that a key holds, to suggest the nearest of its fields.
STRUCTS = {"files": RemoteFile, "hub": Hub, "manual": Manual, "license": License, "annotations_license": License}


def read_catalog(extra: Path | None = None) -> dict[str, Source]:
    """Read the packaged catalog and, if given, another one, whose sources replace those of the same names.

    Raises:
        UserError: a file has an unknown key (names the nearest), a wrong type, or a path that leaves the data folder.
    """
    sources = _read_file(PACKAGED)
    if extra is not None:
        sources |= _read_file(extra)
    for source in sources.values():
        for required in source.requires:
            if required.split("/")[0] not in sources:
                raise UserError(f"{source.name}: requires: there is no source {required!r}")
    return sources


def read_license(path: Path) -> License:
    """Read the terms that a person declared for their own data: `name`, `commercial`, `because` and maybe `url`."""
    return build_license(_read_yaml(path), str(path))


def build_license(value: Any, where: str) -> License:
    """Turn declared terms into a `License`.

    Raises:
        UserError: one of them is missing, unknown or of a wrong type; says which, and `where`.
    """
    return _build(License, value, where)


def is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def archive_stem(name: str) -> str:
    """Return the name of an archive without its ending: train2017.zip -> train2017."""
    base = PurePosixPath(name).name
    ending = max((suffix for suffix in ARCHIVE_SUFFIXES if base.lower().endswith(suffix)), key=len, default="")
    return base[: len(base) - len(ending)]


def _read_yaml(path: Path) -> Any:
    try:
        text, num_old = OLD_SPELLING.subn(r"\1license\2", path.read_text(encoding="utf-8"))
        if num_old:
            log.warning("%s: the key `licence` is now spelled `license`", path)
        return yaml.safe_load(text)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError) as error:  # also bytes that are no text, and a date such as 2026-13-45
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise UserError(f"{path}: not usable YAML: lists within lists without end") from None


def _read_file(path: Path) -> dict[str, Source]:
    content = _read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: is not a mapping from names to sources")
    sources = {}
    for name, entry in content.items():
        where = f"{path.name if path == PACKAGED else path}: {name}"
        if not isinstance(name, str) or not name or "/" in name:
            raise UserError(f"{where}: is not a valid name of a source")
        if not isinstance(entry, dict):
            raise UserError(f"{where}: is not a mapping")
        source = _build(Source, {"folder": f"raw/{name}", **entry, "name": name}, where)
        _check(source, where)
        if source.links:
            log.warning("%s: `links` is ignored; a data set may name several folders: data.test.images=[A,B]", where)
        if source.generated and path != PACKAGED:
            raise UserError(f"{where}: generated: only vclr's own sources are")
        sources[name] = source
    return sources


def _build(kind: type[Built], value: Any, where: str) -> Built:
    """Turn what YAML holds into a struct.

    Raises:
        UserError: in one line, the file, the source, the key and what is wrong with it.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        says, _, place = str(error).partition(" - at `$")
    place = re.sub(r"\.?\[\.\.\.\]", "", place.rstrip("`")).removeprefix(".").replace(".", ": ")
    where = f"{where}: {place}" if place else where
    if unknown := re.fullmatch(r"Object contains unknown field `(.*)`", says, re.DOTALL):
        fields = STRUCTS.get(re.split(r": |\[", place.rstrip("]0123456789["))[-1], kind).__struct_fields__
        says = f"unknown key {unknown[1]!r}; nearest: {nearest(unknown[1], fields)}"
    elif missing := re.fullmatch(r"Object missing required field `(.*)`", says):
        says = f"has no `{missing[1]}`"
    raise UserError(f"{where}: {says[0].lower() + says[1:]}")


def _check(source: Source, where: str) -> None:
    """Check what the types do not express."""
    for path in _paths(source):
        check_path(path, where)
    for file in source.files:
        at = f"{where}: {file.path}"
        if not file.urls:
            raise UserError(f"{at}: has no `urls`")
        if file.unpack is not None and not is_archive(file.path):
            raise UserError(f"{at}: unpack: is not an archive ({', '.join(ARCHIVE_SUFFIXES)})")
        for path in file.yields:
            if file.unpack is None or not path.startswith(f"{file.unpack}/"):
                raise UserError(f"{at}: yields: {path} is not in the folder into which it is unpacked")


def _paths(source: Source) -> list[str]:
    paths = [source.folder, *source.counts]
    for file in source.files:
        paths += [file.path, *file.yields]
        paths += [file.unpack] if file.unpack is not None else []
    if source.hub is not None:
        paths += [*source.hub.names, *source.hub.places.values(), *source.hub.photos, *source.hub.photos.values()]
    if source.manual is not None:
        paths += [*source.manual.folders, *source.manual.annotations, *source.manual.annotations.values()]
    return paths


def check_path(path: str, where: str) -> None:
    """Refuse a path that is not one below the data folder.

    Raises:
        UserError: names `where` the path was found.
    """
    parts = path.split("/")
    if "\\" in path or "\0" in path or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        raise UserError(f"{where}: {path!r} is not a path below the data folder")
