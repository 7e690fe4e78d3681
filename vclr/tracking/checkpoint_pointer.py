"""A pointer to a checkpoint: where the file lies and which bytes it holds, so that no other is taken for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from vclr.errors import UserError, first_line
from vclr.files import read_bytes, sha256, sha256_of, write_json

POINTER_FILE = "pointer.json"
PREFIX = "checkpoint."  # of the tags that repeat a pointer in MLflow's tables


class CheckpointPointer(msgspec.Struct, frozen=True):
    """One checkpoint, whatever happens to its file later.

    Attributes:
        path: absolute path of the file on the machine that logged it.
        bytes: its size.
        sha256: of its content, in hexadecimal.
        iteration: the training step after which it was saved; None if that was not said.
        part_bytes: size of the parts in which the file was uploaded; None if it was not.
    """

    path: str
    bytes: int
    sha256: str
    iteration: int | None = None
    part_bytes: int | None = None

    @classmethod
    def of_file(cls, file: BinaryIO, path: Path, iteration: int | None = None) -> CheckpointPointer:
        """Describe an open file, from its start; `path` may name other bytes by the time that this ends."""
        file.seek(0)
        return cls(str(path.absolute()), os.fstat(file.fileno()).st_size, sha256_of(file), iteration)

    @classmethod
    def from_tags(cls, tags: Mapping[str, str], name: str) -> CheckpointPointer:
        """Read the tags of a logged model; `name` names it in errors.

        Raises:
            UserError: the model is not a checkpoint of vclr.
        """
        known = {field: tags[PREFIX + field] for field in cls.__struct_fields__ if PREFIX + field in tags}
        try:
            return msgspec.convert(known, cls, strict=False)
        except msgspec.ValidationError as error:
            raise UserError(f"{name}: is not a checkpoint that vclr logged: {first_line(error)}") from None

    @classmethod
    def read(cls, path: Path) -> CheckpointPointer:
        """Read the json of a pointer.

        Raises:
            UserError: the file is missing, or is not a pointer.
        """
        try:
            return msgspec.json.decode(read_bytes(path), type=cls)
        except msgspec.DecodeError as error:
            raise UserError(f"{path}: is not a pointer to a checkpoint: {first_line(error)}") from None

    def write(self, path: Path) -> None:
        """Write the pointer as json."""
        write_json(path, msgspec.to_builtins(self), indent=1)

    def as_tags(self) -> dict[str, str]:
        """Return the pointer as tags; what is not known is left out."""
        return {PREFIX + key: str(value) for key, value in msgspec.to_builtins(self).items() if value is not None}

    def complaint(self, path: str | Path) -> str:
        """Return why a file is not this checkpoint, in one line, or "" if it is; a file of its size is read whole."""
        path = Path(path)
        try:
            size = path.stat().st_size
            if not path.is_file():
                return f"{path}: is not a file"
            if size != self.bytes:
                return f"{path}: has changed since it was logged: it has {size} bytes, not {self.bytes}"
            if sha256(path) != self.sha256:
                return f"{path}: has changed since it was logged: its sha256 is no longer {self.sha256[:12]}..."
        except FileNotFoundError:
            return f"{path}: no such file (any more)"
        except OSError as error:
            return f"{path}: cannot be read: {error.strerror or error}"
        return ""
