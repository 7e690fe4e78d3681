"""The folder of one training: its content, and whether a training may continue in it."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any, BinaryIO

from vclr.config import Config, config_from_text, dump_config, read_config
from vclr.data.data_sets import training_set
from vclr.engine.checkpoint import Checkpoints
from vclr.engine.nearest_training import nearest_training
from vclr.engine.same_training import MILESTONES, differing_data, differing_settings, evaluations_decide, passed
from vclr.errors import UsageError, UserError
from vclr.evaluation.best import early_end
from vclr.evaluation.history import read_records
from vclr.file_lock import lock_file
from vclr.files import atomic_path, read_json, remove_partials, sync_folder, write_json
from vclr.image_folders.open import each_folder
from vclr.models.build import build_model
from vclr.models.checkpoint import check_fit, check_form, is_checkpoint
from vclr.models.detector import Detector
from vclr.option_names import option
from vclr.tracking.secrets import redact_config, redact_values

log = logging.getLogger("vclr.train")

MAX_DIFFERENCES = 5  # named in one line
DESCRIPTION = ("config.yaml", "environment.json", "data.json", "metrics.jsonl")  # written once `checkpoints` is there
JOBS = "jobs"  # where `vclr launch` records its jobs


class RunFolder:
    """`train.output_dir`: config.yaml, environment.json, data.json, metrics.jsonl, log.txt, checkpoints/, DONE.

    Use it in a `with` block, which no other training can enter meanwhile. A block that writes nothing leaves no folder.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.data_hashes: dict[str, str] = {}  # of everything that the training reads
        self.path = Path(config.train.output_dir)
        self.checkpoints = Checkpoints(self.path / "checkpoints", config.train.checkpointer.max_to_keep)
        self.metrics = self.path / "metrics.jsonl"
        self.log = self.path / "log.txt"
        self.done = self.path / "DONE"
        self._built: Detector | None = None  # to compare checkpoints with, as is the next
        self._logged: list[int] = []  # iterations

    def __enter__(self) -> RunFolder:
        """Lock the folder.

        Raises:
            UsageError: the path is a file.
            UserError: another process is training in it.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"train.output_dir={self.path}: is a file; name a folder")
        self._made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        self._locked = self._lock()
        return self

    def __exit__(self, *_: object) -> None:
        if self.log.exists() and not self.log.stat().st_size:
            self.log.unlink()
        for folder in self._made:
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()
        self._locked.close()

    def _lock(self) -> BinaryIO:
        return lock_file(self.log, f"train.output_dir={self.path}: another process trains in it")

    def open(self, resume: bool, unattended: bool = False) -> dict[str, Any] | None:
        """Prepare the folder; return the checkpoint to resume from, or None if a training starts.

        With `resume`, a training starts in a folder that has none, unless a folder of nearly the same name has one
        with the same settings.

        Args:
            resume: continue the training in the folder.
            unattended: nobody will read an error soon. A folder with another training (other settings or data) is
                moved aside, and its name is assumed to be right. If only the milestones differ, it stays: those that
                are shares move with the length, and a longer training shall not lose what there is.

        Raises:
            UsageError: the folder holds a training and `resume` is off; it holds another training, or none while a
                folder of a similar name does; or files that no training wrote would be replaced.
            UserError: none of its checkpoints is intact, or another program wrote them.
        """
        for folder in (self.path, self.checkpoints.folder):
            remove_partials(folder)
        self._refuse_files_of_others()
        if not self.checkpoints.exist():  # before the first checkpoint there is nothing to lose
            if resume and not unattended and not (self.path / "config.yaml").exists():
                self._refuse_mistyped_name()
            return None
        if not resume:
            raise UsageError(f"train.output_dir={self.path}: holds a training; {option('resume', True)} continues it")
        checkpoint = self.load_checkpoint()
        differences = self._differences(checkpoint)
        if not differences:
            return checkpoint
        if not unattended or [*differences] == [MILESTONES]:
            said = [*differences.values()]
            more = f" and {len(said) - MAX_DIFFERENCES} more" if said[MAX_DIFFERENCES:] else ""
            raise UsageError(
                f"train.output_dir={self.path}: holds a training with other settings or data: "
                f"{', '.join(said[:MAX_DIFFERENCES])}{more}; "
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
        """Describe the training: configuration, without passwords, environment, hashes of the data."""
        self.checkpoints.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.path / "config.yaml") as partial:
            partial.write_text(dump_config(redact_config(self.config)), encoding="utf-8")
        write_json(self.path / "environment.json", redact_values(environment), indent=1)
        write_json(self.path / "data.json", self.data_hashes, indent=1)

    def mark_done(self, iteration: int) -> None:
        """Mark the training as finished."""
        with atomic_path(self.done) as partial:
            partial.write_text(f"{iteration}\n", encoding="utf-8")

    def finished_at(self) -> int:
        """Return the iteration at which the training finished, 0 if it has not."""
        text = self.done.read_text(encoding="utf-8").strip() if self.done.exists() else ""
        return int(text) if text.isdigit() else 0

    def ended_early_at(self) -> int | None:
        """Return the iteration at which `train.early_stopping` ended the training; None if it did not."""
        return early_end(self.records(), self.config)

    def is_done(self) -> bool:
        """Return whether DONE is of the last iteration, be it `train.max_iter` or that of an early end."""
        at = self.finished_at()
        return at == self.config.train.max_iter or (at > 0 and at == self.ended_early_at())

    def say_finished(self) -> str:
        """Say that the training is done; if it ended early, where."""
        at, length = self.finished_at(), self.config.train.max_iter
        early = "" if at == length else f": it ended early, at iteration {at} of {length} (train.early_stopping)"
        return f"finished already{early}"

    def is_finished(self) -> bool:
        """Return whether the folder holds exactly this training, complete."""
        described = self.path / "config.yaml"
        if not self.is_done() or not described.is_file():
            return False
        settings = differing_settings(read_config(described), self.config, self.finished_at())
        return not settings and not self._differing_data()

    def records(self) -> list[dict[str, Any]]:
        """Read the logged records, as `read_records` does; none before the first one."""
        return read_records(self.metrics) if self.metrics.exists() else []

    def keep_records(self, iteration: int, continues: bool) -> None:
        """Prepare metrics.jsonl for more records.

        Records of steps after the checkpoint that a training continues from stay: it repeats these steps exactly, and
        MLflow has them already. Evaluations after it are made again, maybe with other settings. A line that was cut off
        goes, and what is beyond the end of a shorter training.

        Args:
            iteration: of the checkpoint.
            continues: the training goes on; otherwise the records of an earlier one go.
        """
        if not self.metrics.exists():
            return
        end = {"train": self.config.train.max_iter, "eval": iteration}
        kept = [one for one in self.records() if continues and one["iteration"] <= end.get(one["kind"], iteration)]
        with atomic_path(self.metrics) as partial:
            partial.write_text("".join(f"{json.dumps(record)}\n" for record in kept), encoding="utf-8")
        sync_folder(self.path)

    def load_checkpoint(self) -> dict[str, Any]:
        """Read the newest intact checkpoint, as `Checkpoints.load` does."""
        self._logged = [record["iteration"] for record in self.records() if record["kind"] == "train"]
        checkpoint = self.checkpoints.load(self._check)
        self._built = None
        return checkpoint

    def _check(self, checkpoint: dict[str, Any], name: str) -> None:
        """Check that a file holds the whole state of a training and agrees with the folder's log."""
        if not is_checkpoint(checkpoint):
            raise UserError(f"{name}: is not a vclr checkpoint; convert it with `vclr convert`")
        config = check_form(checkpoint, name)
        if "iteration" not in checkpoint:
            raise UserError(f"{name}: holds only weights; start a training from them with train.init_checkpoint")
        if not config.detectron2.config:  # whose models are compared when they are built
            if self._built is None or self._built.config != config.model:
                self._built = build_model(config)
            check_fit(checkpoint, self._built, name)
        iteration, journal = checkpoint["iteration"], checkpoint.get("journal")
        if journal and (logged := [number for number in self._logged if number <= iteration]):
            since = iteration - logged[-1]
            if journal["count"] != since:
                says = f"counts {journal['count']} iterations since the last record, {self.metrics} has {since}"
                raise UserError(f"{name}: journal: {says}")

    def _differences(self, checkpoint: dict[str, Any]) -> dict[str, str]:
        """Describe each of the settings and data in which a checkpoint's training differs from this one."""
        # The checkpoint's own settings, because the folder of a converted one holds nothing else.
        of_checkpoint = config_from_text(checkpoint["config"], str(self.checkpoints.last))
        settings = differing_settings(of_checkpoint, self.config, checkpoint["iteration"])
        said = {key: f"{key} is {there} there and {here} here" for key, (there, here) in settings.items()}
        end = self.config.train.max_iter
        if MILESTONES in said:
            own = f"set {MILESTONES}={passed(of_checkpoint, end)} to go on"
            said[MILESTONES] += f" (another learning rate in iterations that are done; {own})"
        if checkpoint["iteration"] > end:
            said["train.max_iter"] = f"train.max_iter={end} is before iteration {checkpoint['iteration']} there"
        return said | {name: f"other {name.replace('_', ' ')}" for name in self._differing_data()}

    def _differing_data(self) -> list[str]:
        """Return the names of the data that changed since the folder's training began."""
        path = self.path / "data.json"
        before = read_json(path) if path.exists() else {}
        if not isinstance(before, dict):
            raise UserError(f"{path}: is not a json of hashes; remove it to leave the data uncompared")
        return differing_data(before, self.data_hashes, evaluations_decide(self.config))

    def _refuse_mistyped_name(self) -> None:
        if near := nearest_training(self.config):
            resume = option("resume", True)
            raise UsageError(
                f"train.output_dir={self.path}: holds no training for {resume}; nearest: {near}, which holds one "
                f"with these settings; to start one here, leave {resume} out"
            )
        log.info("%s: holds no training yet; starting one", self.path)

    def _move_aside(self) -> None:
        """Rename the folder, and continue with an empty one, which is locked in its place."""
        aside = self.path.with_name(f"{self.path.name}.{time.strftime('%Y%m%d-%H%M%S')}")
        self.path.rename(aside)
        if (aside / JOBS).exists():  # this process's own job is one of them
            self.path.mkdir()
            (aside / JOBS).rename(self.path / JOBS)
        print(f"{self.path}: held a training with other settings or data, now in {aside}")
        moved, self._locked = self._locked, self._lock()
        moved.close()
        self.checkpoints.saved = None
