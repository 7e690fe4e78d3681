"""The folder of one training: what it holds, and whether a training may go on in it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from vclr.config import Config, config_from_text, dump_config
from vclr.engine.checkpoint import Checkpoints
from vclr.engine.lock import lock_file
from vclr.engine.same_training import is_same_training
from vclr.errors import UsageError, UserError
from vclr.files import atomic_path, read_json, remove_partials, sync_folder, write_json

JOBS = "jobs"  # where `vclr launch` keeps what it submitted


class RunFolder:
    """`train.output_dir`: config.yaml, environment.json, data.json, metrics.jsonl, log.txt, checkpoints/, DONE.

    Used in a `with` block, which no other training enters meanwhile. A block that writes nothing leaves no folder.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.data_hashes: dict[str, str] = {}  # of what the training reads
        self.environment: dict[str, Any] = {}  # what it runs on
        self.path = Path(config.train.output_dir)
        self.checkpoints = Checkpoints(self.path / "checkpoints", config.train.checkpointer.max_to_keep)
        self.metrics = self.path / "metrics.jsonl"
        self.log = self.path / "log.txt"
        self.done = self.path / "DONE"

    def __enter__(self) -> RunFolder:
        """Lock the folder.

        Raises:
            UserError: another process trains in it.
        """
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        self._locked = self._lock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.log.exists() and not self.log.stat().st_size:
            self.log.unlink()
        for folder in self._made:
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()
        self._locked.close()

    def _lock(self) -> BinaryIO:
        return lock_file(self.log, f"train.output_dir={self.path}: another process trains in it")

    def open(self, resume: bool) -> dict[str, Any] | None:
        """Prepare the folder; return the checkpoint from which a training goes on in it, None where one starts.

        With `resume`, a folder of another training (other settings or data) is moved aside, not continued.

        Raises:
            UsageError: the folder holds a training and `resume` is off.
            UserError: none of its checkpoints is intact, or they are of another program.
        """
        for folder in (self.path, self.checkpoints.folder):
            remove_partials(folder)
        if not self.checkpoints.exist():  # before the first one there is nothing to lose
            return None
        if not resume:
            raise UsageError(f"train.output_dir={self.path}: holds a training; --resume continues it")
        checkpoint = self.checkpoints.load()
        if self._is_of_same_training(checkpoint):
            return checkpoint
        self._move_aside()
        return None

    def write_description(self, environment: dict[str, Any]) -> None:
        """Write what the training is made of: configuration, environment, hashes of the data."""
        self.environment = environment
        self.checkpoints.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.path / "config.yaml") as partial:
            partial.write_text(dump_config(self.config), encoding="utf-8")
        write_json(self.path / "environment.json", environment, indent=1)
        write_json(self.path / "data.json", self.data_hashes, indent=1)

    def mark_done(self, iteration: int) -> None:
        """Say that the training is finished."""
        with atomic_path(self.done) as partial:
            partial.write_text(f"{iteration}\n", encoding="utf-8")

    def finished_at(self) -> int:
        """Return the iteration at which the training was finished, 0 where it is not."""
        text = self.done.read_text(encoding="utf-8").strip() if self.done.exists() else ""
        return int(text) if text.isdigit() else 0

    def is_finished(self) -> bool:
        """Tell whether the folder holds just this training, from its first iteration to its last."""
        described = self.path / "config.yaml"
        if self.finished_at() != self.config.train.max_iter or not described.is_file():
            return False
        of_folder = config_from_text(described.read_text(encoding="utf-8"), str(described))
        return is_same_training(of_folder, self.config) and read_json(self.path / "data.json") == self.data_hashes

    def records(self) -> list[dict[str, Any]]:
        """Read what was logged; the line that was being written when a training was killed is left out."""
        records = []
        for line in self.metrics.read_text(encoding="utf-8").splitlines() if self.metrics.exists() else ():
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return records

    def forget_after(self, iteration: int) -> None:
        """Drop logged metrics that lie after the checkpoint a training goes on from."""
        if not self.metrics.exists():
            return
        kept = [record for record in self.records() if record["iteration"] <= iteration]
        with atomic_path(self.metrics) as partial:
            partial.write_text("".join(f"{json.dumps(record)}\n" for record in kept), encoding="utf-8")
        sync_folder(self.path)

    def _is_of_same_training(self, checkpoint: dict[str, Any]) -> bool:
        # The checkpoint's own settings: one that was converted lies in a folder without anything else.
        name = str(self.checkpoints.last)
        if "config" not in checkpoint:
            raise UserError(f"{name}: is of no training of ours; `vclr convert` makes one of it")
        if not is_same_training(config_from_text(checkpoint["config"], name), self.config):
            return False
        if checkpoint["iteration"] > self.config.train.max_iter:
            return False
        data = self.path / "data.json"
        return not data.exists() or read_json(data) == self.data_hashes

    def _move_aside(self) -> None:
        """Give the folder another name, and go on with an empty one, which is locked as that one was."""
        aside = self.path.with_name(f"{self.path.name}.{time.strftime('%Y%m%d-%H%M%S')}")
        self.path.rename(aside)
        if (aside / JOBS).exists():  # the job that runs this is one of them
            self.path.mkdir()
            (aside / JOBS).rename(self.path / JOBS)
        print(f"{self.path}: held a training with other settings or data, now in {aside}")
        moved, self._locked = self._locked, self._lock()
        moved.close()
        self.checkpoints.saved = None
