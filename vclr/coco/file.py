"""Read a COCO json of any size: annotations stay encoded until they are used.

The annotations of COCO's training set are 0.4 GiB of text, and ten times as much as Python objects.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from vclr.coco.checks import CocoChecks, Json
from vclr.errors import UserError
from vclr.files import atomic_path, read_bytes
from vclr.json_text import BadNumber, decode_text, find_bad_numbers, parse_json, parse_json_with_bad_numbers


@dataclass
class CocoFile:
    """A COCO json whose annotations are not decoded yet.

    Attributes:
        path: the file.
        head: everything else in the file, including `images` and `categories`.
        annotations: the text of each annotation.
        texts: the text of each value at the top level.
        bad_numbers: the entries with NaN or an infinity, which only `open_despite_bad_numbers` accepts.
    """

    # Whether `vclr repair` reads it.
    can_be_repaired: ClassVar[bool] = True

    path: Path
    head: Json
    annotations: list[msgspec.Raw]
    texts: dict[str, msgspec.Raw] = field(default_factory=dict)
    bad_numbers: list[BadNumber] = field(default_factory=list)

    @property
    def images(self) -> list[Json]:
        """The entries of `images`."""
        images: list[Json] = self.head["images"]
        return images

    @property
    def categories(self) -> list[Json]:
        """The entries of `categories`."""
        categories: list[Json] = self.head["categories"]
        return categories

    def read_annotations(self, kept: Iterable[int] | None = None) -> Iterator[Any]:
        """Decode the annotations and yield them one by one.

        Args:
            kept: a number for each annotation; those with 0 are skipped.

        Raises:
            UserError: an annotation contains a text or a number that cannot be decoded.
        """
        chosen = self.annotations if kept is None else itertools.compress(self.annotations, kept)
        try:
            yield from map(msgspec.json.decode, chosen)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _unreadable(self.path, error) from None

    def decode(self, positions: Iterable[int]) -> list[Any]:
        """Decode the annotations at some positions, which `read_annotations` has decoded before without an error."""
        return [msgspec.json.decode(self.annotations[position]) for position in positions]

    def check_images(self) -> CocoChecks:
        """Check categories and images, and return the object that checks the annotations."""
        checks = CocoChecks(self.path, self.categories, self.can_be_repaired)
        for position, image in enumerate(self.images):
            checks.check_image(position, image)
        return checks

    def check_annotations(self, checks: CocoChecks) -> Iterator[Json]:
        """Check the annotations, yield those that are usable, and check their units in the end."""
        count = 0
        for annotation in self.read_annotations():
            if checks.check_annotation(count, annotation).is_kept:
                yield annotation
            count += 1
        checks.finish(count)

    def check(self) -> Iterator[Json]:
        """Check the images, and the annotations as `check_annotations` does."""
        yield from self.check_annotations(self.check_images())


def open_coco(path: str | Path) -> CocoFile:
    """Open a COCO json; if it has no categories, it gets one called `object`.

    Raises:
        UserError: the file is missing, is not json, or lacks `images` or `annotations`.
    """
    coco = open_annotations(path)
    if not isinstance(coco.head.get("images"), list):
        raise other_json(path)
    return coco


def encode_coco(content: Json, name: str) -> CocoFile:
    """Return the content of a COCO json as if `open_coco` had read it from a file of this name."""
    head = {key: value for key, value in content.items() if key != "annotations"}
    encode = msgspec.json.Encoder(enc_hook=lambda value: value.item()).encode  # for numbers of numpy
    return CocoFile(Path(name), head, [msgspec.Raw(encode(annotation)) for annotation in content["annotations"]])


def open_annotations(path: str | Path) -> CocoFile:
    """Open a json of annotations; the caller checks whether it has `images`, as COCO has, or another format.

    Raises:
        UserError: the file is missing, is not json, or lacks the list `annotations`.
    """
    data = read_bytes(path)
    if not data.isascii():
        decode_text(data, path)  # this also checks the parts that are decoded later or never
    try:
        return _take_apart(path, data)
    except _UNREADABLE:
        pass
    # This parser is slower, but says what is wrong and where, and accepts a byte order mark.
    content = parse_json(data, path)
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), list):
        raise other_json(path)
    try:
        return _take_apart(path, decode_text(data, path).encode())
    except _UNREADABLE as error:
        raise _unreadable(path, error, content) from None


def open_despite_bad_numbers(path: str | Path) -> CocoFile:
    """Open a COCO json like `open_coco`, but list NaN and infinities and replace them by None."""
    try:
        return open_coco(path)
    except UserError:
        content = parse_json_with_bad_numbers(read_bytes(path), path)
        bad_numbers = find_bad_numbers(content)
        if not bad_numbers:
            raise
    lists = ("images", "annotations")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in lists):
        raise other_json(path) from None
    try:
        coco = _take_apart(path, msgspec.json.encode(content))  # writes bad numbers as null
    except _UNREADABLE as error:
        raise _unreadable(path, error, content) from None
    coco.bad_numbers = bad_numbers
    return coco


_UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError, KeyError)


def _take_apart(path: str | Path, data: bytes) -> CocoFile:
    texts = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    annotations = msgspec.json.decode(texts["annotations"], type=list[msgspec.Raw])
    head = {key: msgspec.json.decode(text) for key, text in texts.items() if key != "annotations"}
    head.setdefault("categories", [{"id": 1, "name": "object"}])
    return CocoFile(Path(path), head, annotations, texts)


def _unreadable(path: Path | str, error: Exception, content: Any = None) -> UserError:
    """Return the error for a json that cannot be decoded; parse it again for the details if `content` is not given."""
    try:
        content = content if content is not None else parse_json(read_bytes(path), path)
    except UserError as exact:
        return exact
    if bad_numbers := find_bad_numbers(content, limit=1):  # such as 1e999
        return UserError(f"{path}: {bad_numbers[0].says}")
    return UserError(f"{path}: not usable json: {error}")


def other_json(path: str | Path) -> UserError:
    """Return the error for a json of another kind."""
    return UserError(f"{path}: is not a COCO json (needs the lists `images` and `annotations`)")


def write_coco(path: str | Path, head: Json, annotations: Iterable[Json | msgspec.Raw]) -> None:
    """Write a COCO json atomically, with its annotations one by one as they come; texts are written as they are."""
    encode = msgspec.json.Encoder().encode
    with atomic_path(path) as partial, open(partial, "wb") as file:
        file.write(b"{")
        for key, value in head.items():
            file.write(encode(key) + b":" + encode(value) + b",\n")
        file.write(b'"annotations":[')
        separator = b"\n"
        for annotation in annotations:
            file.write(separator + encode(annotation))
            separator = b",\n"
        file.write(b"\n]}\n")
