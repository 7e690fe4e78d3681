"""The test set that metrics are of: which one it is, whether it is still the same, what to call it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from vclr.catalog.data_sets import PROTOCOLS
from vclr.coco.annotations import Json
from vclr.config import Config, DataSetConfig
from vclr.data.data_sets import test_set, with_protocol
from vclr.errors import UserError
from vclr.files import sha256
from vclr.image_folders.open import each_folder, say_folders

SAID = ("annotations", "sha256", "images")  # of a test set, in the provenance of metrics.json


@dataclass(frozen=True)
class EvaluatedSet:
    """A test set as an evaluation read it.

    Attributes:
        annotations: path of the json.
        sha256: of the json's bytes; empty if it is no longer known.
        images: path of the image folder, or of those that are searched.
        protocol: the protocol that has this test set; empty for the test set of `data.test`.
    """

    annotations: str
    sha256: str
    images: str | list[str]
    protocol: str = ""

    @property
    def key(self) -> tuple[str, tuple[Path, ...]]:
        """What two test sets share if and only if they are the same: bytes of the annotations, and image folder."""
        folders = tuple(folder.resolve() for folder in each_folder(self.images))
        return self.sha256 or str(Path(self.annotations).resolve()), folders

    @property
    def photos(self) -> str:
        """The image folder as a text names it, or those that are searched."""
        return say_folders(self.images)

    @property
    def files(self) -> DataSetConfig:
        """The files of the test set, as the configuration names them."""
        return DataSetConfig(annotations=self.annotations, images=self.images)

    @property
    def has_changed(self) -> bool:
        """Whether the annotations differ from those that the evaluation read."""
        return bool(self.sha256) and _hash(self.annotations) not in ("", self.sha256)

    def title(self, root: str) -> str:
        """Return the name of the protocol, of the published protocol that has these annotations, or their path."""
        for protocol, data_set in PROTOCOLS.items():
            published = Path(root, data_set.annotations).resolve()
            if self.protocol == protocol or (not self.protocol and published == Path(self.annotations).resolve()):
                return data_set.title
        return self.protocol or self.annotations


def read_evaluated_set(metrics: Json, path: Path, config: Config, protocol: str) -> EvaluatedSet:
    """Return the test set that a file of metrics names, or for older files the one that the configuration names.

    Args:
        metrics: content of the file.
        path: of the file, for errors.
        config: of the training.
        protocol: the folder of the protocol that the file is in; "" for a file beside these folders.

    Raises:
        UserError: the file's record of its test set is damaged.
    """
    groups = {*config.evaluation.groups, *metrics.get("groups", {})}
    said = metrics.get("provenance")
    if said is None:
        protocol = protocol or config.evaluation.protocol
        files = test_set(with_protocol(config, protocol))
        own = "" if protocol in groups else protocol
        return EvaluatedSet(files.annotations, _hash(files.annotations), files.images, own)
    facts = said.get("test_set") if isinstance(said, dict) else None
    if not isinstance(facts, dict) or not all(_is_text(facts.get(key), key == "images") for key in SAID):
        raise UserError(f"{path}: provenance: does not name the test set; evaluate again")
    protocol = str(said.get("protocol") or "")
    own = "" if protocol in groups else protocol
    return EvaluatedSet(facts["annotations"], facts["sha256"], facts["images"], own)


def unique_titles(sets: Sequence[EvaluatedSet], root: str) -> list[str]:
    """Name test sets so that no two have the same name."""
    titles = [one.title(root) for one in sets]
    for form in ("{0.annotations}", "{0.annotations} with {0.photos}", "{0.annotations} ({0.sha256}) with {0.photos}"):
        counts = Counter(titles)
        titles = [form.format(one) if counts[title] > 1 else title for one, title in zip(sets, titles, strict=True)]
    return titles


def _is_text(value: object, or_list: bool) -> bool:
    values = value if or_list and isinstance(value, list) else [value]
    return all(isinstance(one, str) for one in values)


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
