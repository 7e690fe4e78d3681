"""The catalog of sources: which files there are, where from, whose, and where below the data folder they belong.

`sources.yaml` beside this module holds the public ones; `--catalog FILE.yaml` adds others in the same format. The
fields of the dataclasses below are its keys. Paths are relative to the data folder.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml

from vclr.errors import UserError, nearest

PACKAGED = Path(__file__).with_name("sources.yaml")
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
DIGEST_LENGTHS = {"md5": 32, "sha256": 64}


@dataclass(frozen=True)
class Licence:
    """Under which terms something is published, and whether these allow commercial use."""

    name: str
    commercial: bool
    because: str  # one short sentence
    url: str = ""


@dataclass(frozen=True)
class RemoteFile:
    """A file that is downloaded, and unpacked where it is an archive."""

    path: str
    urls: tuple[str, ...] = ()  # mirrors, tried in order
    bytes: int | None = None  # exact: what the file is checked by where nobody publishes a checksum
    about_bytes: int | None = None  # for the plan alone
    md5: str | None = None
    sha256: str | None = None
    unpack: str | None = None  # folder into which an archive is unpacked
    unpacked_bytes: int | None = None  # about; more than twice as much is refused
    yields: Mapping[str, int] = field(default_factory=dict)  # folder or file -> number of files once unpacked
    strip: tuple[str, ...] = ()  # top folders of these names, in the archive, are left out
    licence: Licence | None = None  # where it is not the source's

    @property
    def planned_bytes(self) -> int | None:
        return self.bytes if self.bytes is not None else self.about_bytes

    @property
    def is_published(self) -> bool:
        """Tell whether somebody publishes a checksum; else `data.lock` records one."""
        return self.md5 is not None or self.sha256 is not None


@dataclass(frozen=True)
class Hub:
    """A repository of the Hugging Face hub, whose listing says which files there are."""

    repository: str
    kind: str  # dataset or model
    places: Mapping[str, str]  # what a path in the repository starts with -> folder
    skip: tuple[str, ...] = ()  # starts of paths that are not fetched
    revision: str = "main"
    names: tuple[str, ...] = ()  # files that it is known to have, for when it cannot be asked
    photos: Mapping[str, str] = field(default_factory=dict)  # view that may be there by hand -> its photos


@dataclass(frozen=True)
class Manual:
    """What a person must put in place, and how it is verified."""

    text: str
    folders: Mapping[str, int] = field(default_factory=dict)  # folder -> number of files, 0 where it is not known
    annotations: Mapping[str, str] = field(default_factory=dict)  # json -> folder that has each of its images
    one_is_enough: bool = False  # one of the annotations
    is_flat: bool = False  # images may lie there without the folders that their names have


@dataclass(frozen=True)
class Links:
    """A folder of second names for photos that are there already."""

    annotations: str  # json whose images are meant
    photos: str  # folder below which they are: the last two parts of an image's address are its path there
    address: str = "coco_url"  # key of an image that holds its address
    about_bytes: int = 0  # where photos are packed and have to be copied


@dataclass(frozen=True)
class Source:
    name: str
    title: str
    homepage: str
    licence: Licence
    annotations_licence: Licence | None = None  # where annotations are under other terms than photos
    folder: str = ""  # of the manifest; default raw/<name>
    files: tuple[RemoteFile, ...] = ()
    requires: tuple[str, ...] = ()  # sources or parts that links need
    hub: Hub | None = None
    manual: Manual | None = None
    links: Mapping[str, Links] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # json -> list in it -> its length
    generated: bool = False  # by the package itself, from no file

    def licence_of(self, file: RemoteFile) -> Licence:
        return file.licence or self.licence


def read_catalog(extra: Path | None = None) -> dict[str, Source]:
    """Read the packaged catalog and, where given, another one, whose sources replace those of the same names.

    Raises:
        UserError: a file is not what it should be: an unknown key (names the nearest), a wrong type, a path that leaves
            the data folder.
    """
    sources = _read_file(PACKAGED)
    if extra is not None:
        sources |= _read_file(extra)
    for source in sources.values():
        for required in source.requires:
            if required.split("/")[0] not in sources:
                raise UserError(f"{source.name}: requires: there is no source {required!r}")
    return sources


def read_licence(path: Path) -> Licence:
    """Read what a person wrote of the terms of own data: `name`, `commercial`, `because` and maybe `url`.

    Raises:
        UserError: the file is not that.
    """
    licence: Licence = _build(Licence, _read_yaml(path), str(path))
    return licence


def is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def archive_stem(name: str) -> str:
    """Return the name of an archive without its ending: train2017.zip -> train2017."""
    base = PurePosixPath(name).name
    ending = max((suffix for suffix in ARCHIVE_SUFFIXES if base.lower().endswith(suffix)), key=len, default="")
    return base[: len(base) - len(ending)]


def _read_yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
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
            raise UserError(f"{where}: is not a name of a source")
        if not isinstance(entry, dict):
            raise UserError(f"{where}: is not a mapping")
        source = _convert(Source, {"folder": f"raw/{name}", **entry, "name": name}, where)
        _check(source, where)
        if source.generated and path != PACKAGED:
            raise UserError(f"{where}: generated: only vclr's own sources are")
        sources[name] = source
    return sources


def _convert(kind: Any, value: Any, where: str) -> Any:
    """Turn what YAML holds into a value of the type `kind`; errors say where."""
    if isinstance(kind, types.UnionType):
        if value is None and types.NoneType in typing.get_args(kind):
            return None
        return _convert(next(one for one in typing.get_args(kind) if one is not types.NoneType), value, where)
    if is_dataclass(kind):
        return _build(kind, value, where)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if not isinstance(value, list):
            raise UserError(f"{where}: {value!r} is not a list")
        return tuple(_convert(arguments[0], item, f"{where}[{number}]") for number, item in enumerate(value))
    if origin is not None:  # a mapping
        if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
            raise UserError(f"{where}: {value!r} is not a mapping")
        return {key: _convert(arguments[1], item, f"{where}: {key}") for key, item in value.items()}
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"{where}: {value!r} is not {'text' if kind is str else f'of type {kind.__name__}'}")
    if kind is int and value < 0:
        raise UserError(f"{where}: {value} is negative")
    return value


def _build(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise UserError(f"{where}: {value!r} is not a mapping")
    types_of = typing.get_type_hints(kind)
    for key in value:
        if key not in types_of:
            raise UserError(f"{where}: unknown key {key!r}; nearest: {nearest(str(key), types_of)}")
    for known in fields(kind):
        if known.name not in value and known.default is MISSING and known.default_factory is MISSING:
            raise UserError(f"{where}: has no `{known.name}`")
    return kind(**{key: _convert(types_of[key], item, f"{where}: {key}") for key, item in value.items()})


def _check(source: Source, where: str) -> None:
    """Check what types do not say."""
    for path in _paths(source):
        check_path(path, where)
    for file in source.files:
        at = f"{where}: {file.path}"
        if not file.urls:
            raise UserError(f"{at}: has no `urls`")
        for url in file.urls:
            if urlsplit(url).scheme not in ("http", "https"):
                raise UserError(f"{at}: {url!r} is not an address of the web")
        for name, length in DIGEST_LENGTHS.items():
            digest = getattr(file, name)
            if digest is not None and (len(digest) != length or set(digest) - set("0123456789abcdef")):
                raise UserError(f"{at}: {name}: {digest!r} is not {length} hexadecimal digits in lower case")
        if file.unpack is not None and not is_archive(file.path):
            raise UserError(f"{at}: unpack: is no archive ({', '.join(ARCHIVE_SUFFIXES)})")
        for path in file.yields:
            if file.unpack is None or not path.startswith(f"{file.unpack}/"):
                raise UserError(f"{at}: yields: {path} is not in the folder into which it is unpacked")
    if source.hub is not None and source.hub.kind not in ("dataset", "model"):
        raise UserError(f"{where}: hub: kind: {source.hub.kind!r} is neither dataset nor model")
    if source.links and not all(links.annotations in _made(source) for links in source.links.values()):
        raise UserError(f"{where}: links: the annotations are not among its files")


def _made(source: Source) -> set[str]:
    return {path for file in source.files for path in (file.path, *file.yields)}


def _paths(source: Source) -> list[str]:
    paths = [source.folder, *source.links, *source.counts]
    for file in source.files:
        paths += [file.path, *file.yields]
        paths += [file.unpack] if file.unpack is not None else []
    for links in source.links.values():
        paths += [links.annotations, links.photos]
    if source.hub is not None:
        paths += [*source.hub.names, *source.hub.places.values(), *source.hub.photos, *source.hub.photos.values()]
    if source.manual is not None:
        paths += [*source.manual.folders, *source.manual.annotations, *source.manual.annotations.values()]
    return paths


def check_path(path: str, where: str) -> None:
    """Refuse a path that is not one below the data folder.

    Raises:
        UserError: names `where` it stands.
    """
    parts = path.split("/")
    if "\\" in path or "\0" in path or ":" in parts[0] or any(part in ("", ".", "..") for part in parts):
        raise UserError(f"{where}: {path!r} is not a path below the data folder")
