"""Checkpoints on disk: written completely or not at all, and checked before they are read."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch

from vclr.errors import UserError
from vclr.files import atomic_path, link_file, sync_folder, write_json
from vclr.models.weights import read_tensors

log = logging.getLogger("vclr.train")


class BestFacts(msgspec.Struct):
    """Why a checkpoint is the best one: best.json.

    Attributes:
        metric: what was compared, for example `teacher/mask_ar@100`.
        value: its value, in percent.
        iteration: the checkpoint's.
        evaluation: hash of what else the value depends on, settings and test set; values of others are not compared.
    """

    metric: str
    value: float
    iteration: int
    evaluation: str


class Checkpoints:
    """The checkpoints of a run folder: `last.pt`, `best.pt`, and earlier ones, `stepNNNNNNNN.pt`, named by iteration.

    Attributes:
        saved: the iteration of `last.pt`, once it is known to be intact.
    """

    def __init__(self, folder: Path, max_to_keep: int) -> None:
        """Take a folder, which need not exist, and the number of checkpoints to keep beside the last one."""
        self.folder, self.max_to_keep = folder, max_to_keep
        self.last, self.best = folder / "last.pt", folder / "best.pt"
        self.best_facts = folder / "best.json"  # written after `best.pt`
        self.saved: int | None = None

    def exist(self) -> bool:
        """Return whether there are any checkpoints, intact or not."""
        return self.last.exists() or self.best.exists() or bool(self._earlier())

    def load(self, check: Callable[[dict[str, Any], str], None]) -> dict[str, Any]:
        """Read the last checkpoint, or, with a warning, the newest intact one before it, or else the best one.

        Args:
            check: called with the content and the name of a file; raises UserError if the file must not be used.

        Raises:
            UserError: none is intact.
        """
        problems = []
        for path in (self.last, *self._earlier(), self.best):
            try:
                checkpoint = read_intact(path)
                check(checkpoint, str(path))
            except UserError as error:
                problems.append(str(error))
                continue
            if problems:
                log.warning("%s; continuing from %s", problems[0], path)
            else:
                self.saved = checkpoint["iteration"]
            return checkpoint
        raise UserError(f"{problems[0]}; no other is intact: put one back, or move the folder away to start anew")

    def save(self, checkpoint: dict[str, Any]) -> None:
        """Write `last.pt`, and keep the previous one under the name of its iteration.

        Raises:
            UserError: it could not be written (the disk is full, for example); existing checkpoints are untouched.
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

    def is_better(self, evaluated: BestFacts) -> bool:
        """Tell whether an evaluation is better than that of `best.pt`, or the first one of its kind."""
        if not self.best.exists() or not self.best_facts.exists():
            return True
        try:
            best = msgspec.json.decode(self.best_facts.read_bytes(), type=BestFacts)
        except msgspec.MsgspecError as error:
            raise UserError(f"{self.best_facts}: {error}; remove it, and the next evaluation counts as best") from None
        is_same = (best.metric, best.evaluation) == (evaluated.metric, evaluated.evaluation)
        return not is_same or evaluated.value > best.value

    def keep_best(self, evaluated: BestFacts) -> None:
        """Keep `last.pt` as `best.pt` too. If a kill interrupts this, the evaluation is still better afterwards.

        Raises:
            UserError: it could not be written; `last.pt` is untouched.
        """
        try:
            with atomic_path(self.best) as partial:
                link_file(self.last, partial)
            sync_folder(self.folder)
            write_json(self.best_facts, msgspec.to_builtins(evaluated), indent=1)
        except OSError as error:
            raise UserError(f"{self.best}: could not be written: {error.strerror or error}") from None

    def _keep_last(self) -> None:
        """Give `last.pt` a second name, or copy it if the file system has no links."""
        if self.saved is None or not self.max_to_keep:
            return  # there is no intact one
        with atomic_path(self.folder / f"step{self.saved:08d}.pt") as partial:
            link_file(self.last, partial)

    def _drop_surplus(self) -> None:
        """Remove checkpoints that are too old, and those after the last one, which a step back will make again."""
        assert self.saved is not None
        before = [path for path in self._earlier() if path.name < f"step{self.saved:08d}.pt"]
        for path in set(self._earlier()) - set(before[: self.max_to_keep]):
            path.unlink()

    def _earlier(self) -> list[Path]:
        """List the checkpoints named by their iteration, newest first."""
        paths = self.folder.iterdir() if self.folder.is_dir() else ()
        return sorted((path for path in paths if re.fullmatch(r"step\d{8}\.pt", path.name)), reverse=True)


def read_intact(path: Path) -> dict[str, Any]:
    """Read a checkpoint of `torch.save`; the caller checks whether it is complete.

    Raises:
        UserError: the file is missing or damaged.
    """
    return read_tensors(path, must_be_archive=True)


def _write(checkpoint: dict[str, Any], path: Path) -> None:
    """Write a checkpoint through an open file: if torch were given a path, it would hide the disk's error."""
    try:
        with path.open("wb") as file:
            torch.save(checkpoint, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
