"""Checkpoints on disk: written whole or not at all, checked before they are read; the last one and some before it."""

from __future__ import annotations

import logging
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from vclr.errors import UserError
from vclr.files import atomic_path, link_file, sync_folder
from vclr.models.weights import read_weights

log = logging.getLogger("vclr.train")

DOS_FOLDER = 0x10  # the attribute that makes an entry of a zip archive a folder


class Checkpoints:
    """The checkpoints of a run folder: `last.pt`, and before it `stepNNNNNNNN.pt` by iteration.

    Attributes:
        saved: the iteration of `last.pt`, once it is known to be intact.
    """

    def __init__(self, folder: Path, max_to_keep: int) -> None:
        """Name a folder, which need not exist, and how many checkpoints before the last one are kept in it."""
        self.folder, self.max_to_keep = folder, max_to_keep
        self.last = folder / "last.pt"
        self.saved: int | None = None

    def exist(self) -> bool:
        """Say whether there is any, intact or not."""
        return self.last.exists() or bool(self._earlier())

    def load(self) -> dict[str, Any]:
        """Read the last checkpoint, or with one warning the newest intact one before it.

        Raises:
            UserError: none is intact.
        """
        problems = []
        for path in (self.last, *self._earlier()):
            try:
                checkpoint = read_intact(path)
            except UserError as error:
                problems.append(str(error))
                continue
            if problems:
                log.warning("%s; going on from %s", problems[0], path)
            elif isinstance(checkpoint.get("iteration"), int):
                self.saved = checkpoint["iteration"]
            return checkpoint
        raise UserError(f"{problems[0]}; no other is intact: put one back, or move the folder away to start anew")

    def save(self, checkpoint: dict[str, Any]) -> None:
        """Write `last.pt`; the one before it stays under the name of its iteration.

        Raises:
            UserError: it could not be written (a full disk, say); what was there before is untouched.
        """
        try:
            with atomic_path(self.last) as partial:
                _write(checkpoint, partial)
                self._keep_last()
            sync_folder(self.folder)
        except OSError as error:
            before = "" if self.saved is None else f"; the checkpoint of iteration {self.saved} is intact"
            raise UserError(f"{self.last}: could not be written: {error.strerror or error}{before}") from None
        self.saved = checkpoint["iteration"]
        self._drop_surplus()

    def _keep_last(self) -> None:
        """Give `last.pt` a second name, or where the file system has no links a copy."""
        if self.saved is None or not self.max_to_keep:
            return  # there is none, or none that is intact
        with atomic_path(self.folder / f"step{self.saved:08d}.pt") as partial:
            link_file(self.last, partial)

    def _drop_surplus(self) -> None:
        """Remove what is too old, and what does not lie before the last one: after a step back it comes again."""
        assert self.saved is not None
        before = [path for path in self._earlier() if path.name < f"step{self.saved:08d}.pt"]
        for path in set(self._earlier()) - set(before[: self.max_to_keep]):
            path.unlink()

    def _earlier(self) -> list[Path]:
        """List the checkpoints that are named by their iteration, the newest first."""
        paths = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted((path for path in paths if re.fullmatch(r"step\d{8}\.pt", path.name)), reverse=True)


def read_intact(path: Path) -> dict[str, Any]:
    """Read a checkpoint of `torch.save`, which stores a checksum of every record but does not check them itself.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            # The one bit of a record's description that is no part of a checksum, of no meaning to zipfile, and enough
            # to make torch take the record for a folder and return whatever its memory holds.
            folders = [record.filename for record in archive.infolist() if record.external_attr & DOS_FOLDER]
    except FileNotFoundError:
        raise UserError(f"{path}: is missing") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # damage shows as an error of zipfile, zlib, struct or a codec
        raise UserError(f"{path}: is damaged ({error or type(error).__name__})") from None
    if damaged or folders:
        raise UserError(f"{path}: is damaged ({damaged or folders[0]} does not fit its checksum)")
    return read_weights(path)


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint.

    Raises:
        OSError: what went wrong with the disk, of which torch's own error, when given a path, does not say a word.
    """
    try:
        with path.open("wb") as file:
            torch.save(checkpoint, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
