"""COCO json of any size: an annotation stays the bytes that it is in the file until somebody looks at it.

The annotations of COCO's training set are 0.4 GiB of text and ten times that as Python objects.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from vclr.coco.checks import CocoChecks, Json
from vclr.errors import UserError, describe_missing
from vclr.files import atomic_path, read_json


@dataclass
class CocoFile:
    """A COCO json of which only the annotations are not yet read.

    Attributes:
        path: the file.
        head: all else that is in it, `images` and `categories` among it.
        annotations: each annotation's text.
    """

    path: Path
    head: Json
    annotations: list[msgspec.Raw]

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
        """Yield the annotations one after another, each made for this moment.

        Args:
            kept: a number for each annotation, 0 for those to be passed over.

        Raises:
            UserError: one holds what is no text or no number; that it is json at all is known since it was opened.
        """
        chosen = self.annotations if kept is None else itertools.compress(self.annotations, kept)
        try:
            yield from map(msgspec.json.decode, chosen)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UserError(f"{self.path}: an annotation is not valid json: {error}") from None

    def check_images(self) -> CocoChecks:
        """Check categories and images, and return the checks that the annotations are still to pass.

        Raises:
            UserError: in one line, the file, the entry and what is wrong.
        """
        checks = CocoChecks(self.path, self.categories)
        for position, image in enumerate(self.images):
            checks.check_image(position, image)
        return checks

    def check(self) -> Iterator[Json]:
        """Check the images, then yield the annotations, each checked.

        Raises:
            UserError: in one line, the file, the entry and what is wrong.
        """
        checks = self.check_images()
        for position, annotation in enumerate(self.read_annotations()):
            checks.check_annotation(position, annotation)
            yield annotation


def open_coco(path: str | Path) -> CocoFile:
    """Open a COCO json; without categories it has the one called `object`.

    Raises:
        UserError: the file is missing, is not json, or lacks `images` or `annotations`.
    """
    coco = open_annotations(path)
    if not isinstance(coco.head.get("images"), list):
        raise other_json(path)
    return coco


def open_annotations(path: str | Path) -> CocoFile:
    """Open a json of annotations; whether it is COCO's, with `images`, or another's is for the caller to see.

    Raises:
        UserError: the file is missing, is not json, or lacks the list `annotations`.
    """
    try:
        parts = msgspec.json.decode(Path(path).read_bytes(), type=dict[str, msgspec.Raw])
        annotations = msgspec.json.decode(parts.pop("annotations"), type=list[msgspec.Raw])
        head = {key: msgspec.json.decode(value) for key, value in parts.items()}
    except OSError as error:
        raise UserError(describe_missing(path, f"cannot be read: {error.strerror}")) from None
    except (msgspec.ValidationError, KeyError):
        raise other_json(path) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        read_json(path)  # takes longer, and says in which line it is wrong
        raise UserError(f"{path}: not valid json: {error}") from None
    head.setdefault("categories", [{"id": 1, "name": "object"}])
    return CocoFile(Path(path), head, annotations)


def other_json(path: str | Path) -> UserError:
    """Return the error of a file that is another kind of json."""
    return UserError(f"{path}: is not a COCO json (needs the lists `images` and `annotations`)")


def write_coco(path: str | Path, head: Json, annotations: Iterable[Json]) -> None:
    """Write a COCO json, the annotations one after another as they come, atomically."""
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
