"""The folder of one training: what it holds, and whether a training may go on in it."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from vclr.config import Config, config_from_text, dump_config
from vclr.data.data_sets import training_set
from vclr.engine.checkpoint import Checkpoints
from vclr.engine.nearest_training import nearest_training
from vclr.engine.same_training import differing_data, differing_settings
from vclr.errors import UsageError, UserError
from vclr.file_lock import lock_file
from vclr.files import atomic_path, read_json, remove_partials, sync_folder, write_json
from vclr.image_folder import each_folder
from vclr.models.build import build_model
from vclr.models.checkpoint import check_fit, check_form, is_checkpoint
from vclr.models.detector import Detector

log = logging.getLogger("vclr.train")

MAX_DIFFERENCES = 5  # that one line names
DESCRIPTION = ("config.yaml", "environment.json", "data.json", "metrics.jsonl")  # written once `checkpoints` is there
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
        self._built: Detector | None = None  # what the checkpoints are compared with

    def __enter__(self) -> RunFolder:
        """Lock the folder.

        Raises:
            UsageError: it is a file.
            UserError: another process trains in it.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"train.output_dir={self.path}: is a file; name a folder")
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

    def open(self, resume: bool, unattended: bool = False) -> dict[str, Any] | None:
        """Prepare the folder; return the checkpoint from which a training goes on in it, None where one starts.

        With `resume`, a folder without a training begins one, unless a training of the same settings is in a folder
        of nearly the same name.

        Args:
            resume: continue the training that the folder holds.
            unattended: nobody reads an error soon: a folder of another training (other settings or data) is moved
                aside, and nobody mistypes the folder's name.

        Raises:
            UsageError: the folder holds a training and `resume` is off; it holds another one, or none and one is near;
                files that no training wrote would be replaced.
            UserError: none of its checkpoints is intact, or they are of another program.
        """
        for folder in (self.path, self.checkpoints.folder):
            remove_partials(folder)
        self._refuse_files_of_others()
        if not self.checkpoints.exist():  # before the first one there is nothing to lose
            if resume and not unattended and not (self.path / "config.yaml").exists():
                self._refuse_mistyped_name()
            return None
        if not resume:
            raise UsageError(f"train.output_dir={self.path}: holds a training; --resume continues it")
        checkpoint = self.load_checkpoint()
        differences = self._differences(checkpoint)
        if not differences:
            return checkpoint
        if not unattended:
            raise UsageError(
                f"train.output_dir={self.path}: holds a training with other settings or data: {differences}; "
                "resume it with its own, or give another folder"
            )
        self._move_aside()
        return None

    def _refuse_files_of_others(self) -> None:
        if self.checkpoints.folder.is_dir():
            return
        data = training_set(self.config)
        photos = each_folder(data.images) if data.images else []
        for folder in (*photos, *map(Path, filter(None, data.views.values()))):
            if folder.is_dir() and self.path.resolve() == folder.resolve():
                raise UsageError(f"train.output_dir={self.path}: holds photos or views; name another folder")
        others = [name for name in DESCRIPTION if (self.path / name).exists()]
        if others:
            raise UsageError(
                f"train.output_dir={self.path}: holds {others[0]}, which no training wrote, and would replace it; "
                "name another folder"
            )

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
        return not differing_settings(of_folder, self.config) and not self._differing_data()

    def records(self) -> list[dict[str, Any]]:
        """Read what was logged; the line that was being written when a training was killed is left out."""
        records = []
        for line in (
            self.metrics.read_text(encoding="utf-8", errors="replace").splitlines() if self.metrics.exists() else ()
        ):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if (
                isinstance(record, dict)
                and type(record.get("iteration")) is int
                and isinstance(record.get("kind"), str)
            ):
                records.append(record)
        return records

    def forget_after(self, iteration: int) -> None:
        """Drop logged metrics that lie after the checkpoint a training goes on from."""
        if not self.metrics.exists():
            return
        kept = [record for record in self.records() if record["iteration"] <= iteration]
        with atomic_path(self.metrics) as partial:
            partial.write_text("".join(f"{json.dumps(record)}\n" for record in kept), encoding="utf-8")
        sync_folder(self.path)

    def load_checkpoint(self) -> dict[str, Any]:
        """Read the last checkpoint that is whole, with a warning if it is not the last one.

        Raises:
            UserError: none is.
        """
        checkpoint = self.checkpoints.load(self._check)
        self._built = None
        return checkpoint

    def _check(self, checkpoint: dict[str, Any], name: str) -> None:
        """Check that a file holds all of a training's state, and agrees with what the folder has logged.

        Raises:
            UserError: it does not; in one line, why.
        """
        if not is_checkpoint(checkpoint):
            raise UserError(f"{name}: is of no training of ours; `vclr convert` makes one of it")
        config = check_form(checkpoint, name)
        if "iteration" not in checkpoint:
            raise UserError(f"{name}: holds weights alone; train.init_checkpoint starts a training from them")
        if self._built is None or self._built.config != config.model:
            self._built = build_model(config)
        check_fit(checkpoint, self._built, name)
        iteration, journal = checkpoint["iteration"], checkpoint.get("journal")
        logged = [record["iteration"] for record in self.records() if record["kind"] == "train"]
        if journal and (logged := [number for number in logged if number <= iteration]):
            since = iteration - logged[-1]
            if journal["count"] != since:
                says = f"counts {journal['count']} iterations since the last record, {self.metrics} has {since}"
                raise UserError(f"{name}: journal: {says}")

    def _differences(self, checkpoint: dict[str, Any]) -> str:
        """Say in which settings and data a checkpoint is of another training; nothing where it is of this one."""
        # The checkpoint's own settings: one that was converted lies in a folder without anything else.
        settings = differing_settings(config_from_text(checkpoint["config"], str(self.checkpoints.last)), self.config)
        said = [f"{key} is {there} there and {here} here" for key, (there, here) in settings.items()]
        if checkpoint["iteration"] > self.config.train.max_iter:
            at = f"iteration {checkpoint['iteration']} there"
            said.append(f"train.max_iter={self.config.train.max_iter} is before {at}")
        said += [f"other {name.replace('_', ' ')}" for name in self._differing_data()]
        return ", ".join(said[:MAX_DIFFERENCES]) + (
            f" and {len(said) - MAX_DIFFERENCES} more" if said[MAX_DIFFERENCES:] else ""
        )

    def _differing_data(self) -> list[str]:
        """Return the names of the data that the folder's training began with and that are others now."""
        path = self.path / "data.json"
        before = read_json(path) if path.exists() else {}
        if not isinstance(before, dict):
            raise UserError(f"{path}: is not a json of hashes; take it away, and the data is not compared")
        return differing_data(before, self.data_hashes)

    def _refuse_mistyped_name(self) -> None:
        if near := nearest_training(self.config):
            raise UsageError(
                f"train.output_dir={self.path}: holds no training for --resume; nearest: {near}, which holds one of "
                "these settings; to start one here leave --resume out"
            )
        log.info("%s: holds no training yet; starting one", self.path)

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
