"""The test set of an evaluation: which one it is, whether it is still the same, what to call it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import msgspec

from vclr.catalog.data_sets import PROTOCOLS
from vclr.coco.annotations import Json
from vclr.config import Config, DataSetConfig
from vclr.data.data_sets import test_set, with_protocol
from vclr.errors import UserError
from vclr.files import sha256
from vclr.image_folders.open import each_folder, say_folders


@dataclass(frozen=True)
class Origin:
    """What the annotations of a published protocol were made from.

    Attributes:
        files: `published` or `rebuilt`, as `evaluation.files`.
        json: name of the published or the official json; empty if it is not recorded.
        sha256: hash of its bytes.
    """

    files: str
    json: str
    sha256: str


@dataclass(frozen=True)
class EvaluatedSet:
    """A test set as an evaluation read it, and as `test_set` in the provenance of metrics.json names it.

    Attributes:
        annotations: path of the json.
        sha256: hash of the json's bytes; empty if it is not known.
        images: path of the image folder, or paths of several folders that are searched in order.
        protocol: the protocol with this test set; empty for the test set of `data.test`.
        origin: what the annotations were made from; None for a test set of no published protocol, and in older files.
    """

    annotations: str
    sha256: str
    images: str | list[str]
    protocol: str = ""
    origin: Origin | None = None

    @cached_property
    def key(self) -> tuple[str, tuple[Path, ...]]:
        """What two test sets share if and only if they are the same: bytes of the annotations, and image folders."""
        folders = tuple(folder.resolve() for folder in each_folder(self.images))
        return self.sha256 or str(Path(self.annotations).resolve()), folders

    def is_same_as(self, other: EvaluatedSet) -> bool:
        """Tell whether two test sets are the same, as far as that is known: MLflow does not know the image folders."""
        return self.key[0] == other.key[0] and (self.key[1] == other.key[1] or not (self.images and other.images))

    @property
    def photos(self) -> str:
        """The image folders, as a text."""
        return say_folders(self.images)

    @property
    def files(self) -> DataSetConfig:
        """The files of the test set, as the configuration names them."""
        return DataSetConfig(annotations=self.annotations, images=self.images)

    @property
    def has_changed(self) -> bool:
        """Whether the annotations differ from those that the evaluation read."""
        return bool(self.sha256) and _hash(self.annotations) not in ("", self.sha256)

    def published_protocol(self, root: str) -> str:
        """Return the published protocol that has this test set, by name or by its annotations; "" if none has."""
        own = Path(self.annotations).resolve()
        for protocol, data_set in PROTOCOLS.items():
            paths = [Path(root, one.annotations).resolve() for one in (data_set, data_set.as_published())]
            if self.protocol == protocol or (not self.protocol and own in paths):
                return protocol
        return ""

    def title(self, root: str) -> str:
        """Return what papers call the published protocol, or else the name of the protocol or the annotations' path."""
        protocol = self.published_protocol(root)
        return PROTOCOLS[protocol].title if protocol else self.protocol or self.annotations


def read_evaluated_set(metrics: Json, path: Path, config: Config, protocol: str) -> EvaluatedSet:
    """Return the test set that a file of metrics names, or for older files the one that the configuration names.

    Args:
        metrics: content of the file.
        path: path of the file, for errors.
        config: configuration of the training.
        protocol: protocol whose folder holds the file; "" for a file beside these folders.

    Raises:
        UserError: the file does not name its test set properly.
    """
    groups = {*config.evaluation.groups, *metrics.get("groups", {})}
    said = metrics.get("provenance")
    if said is None:
        protocol = protocol or config.evaluation.protocol
        files = test_set(with_protocol(config, protocol))
        own = "" if protocol in groups else protocol
        return EvaluatedSet(files.annotations, _hash(files.annotations), files.images, own)
    try:
        evaluated = msgspec.convert(said["test_set"], EvaluatedSet)
    except (KeyError, TypeError, msgspec.ValidationError):
        raise UserError(f"{path}: provenance: does not name the test set; evaluate again") from None
    protocol = str(said.get("protocol") or "")
    return replace(evaluated, protocol="" if protocol in groups else protocol)


def unique_titles(sets: Sequence[EvaluatedSet], root: str) -> list[str]:
    """Name test sets so that no two have the same name."""
    titles = [one.title(root) for one in sets]
    for form in ("{0.annotations}", "{0.annotations} with {0.photos}", "{0.annotations} ({0.sha256}) with {0.photos}"):
        counts = Counter(titles)
        titles = [form.format(one) if counts[title] > 1 else title for one, title in zip(sets, titles, strict=True)]
    repeats = [titles[:place].count(title) for place, title in enumerate(titles)]  # one set, other classes in a group
    return [f"{title} ({count + 1})" if count else title for title, count in zip(titles, repeats, strict=True)]


def _hash(path: str) -> str:
    """Return the sha256 of a file, "" if it does not exist."""
    file = Path(path)
    if not file.is_file():
        return ""
    facts = file.stat()
    return _hash_of(path, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=64)
def _hash_of(path: str, *_: int) -> str:
    return sha256(path)
