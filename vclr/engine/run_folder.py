"""The folder of one training: what it holds, and whether a training may go on in it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from vclr.config import Config, config_from_text, dump_config, flat_config
from vclr.engine.checkpoint import LAST
from vclr.errors import UsageError, UserError
from vclr.files import atomic_path, read_json, write_json
from vclr.models.weights import read_weights

# Settings that change neither weights nor metrics: a training goes on when they differ.
WITHOUT_EFFECT = (
    "train.output_dir",
    "train.max_iter",
    "train.device",
    "train.log_period",
    "train.eval_period",
    "train.num_threads",
    "train.checkpointer.",
    "train.model_ema.use_ema_weights_for_eval_only",
    "dataloader.train.num_workers",
    "dataloader.test.",
    "data.test.",
    "evaluation.",
    "tracking.",
    "model.nms_thresh",
    "model.select_box_nums_for_evaluation",
)


class RunFolder:
    """`train.output_dir`: config.yaml, environment.json, data.json, metrics.jsonl, log.txt, checkpoints/, DONE."""

    def __init__(self, config: Config, data_hashes: dict[str, str]) -> None:
        self.config, self.data_hashes = config, data_hashes
        self.path = Path(config.train.output_dir)
        self.checkpoints = self.path / "checkpoints"
        self.last_checkpoint = self.checkpoints / LAST
        self.metrics = self.path / "metrics.jsonl"
        self.done = self.path / "DONE"

    def open(self, resume: bool) -> bool:
        """Prepare the folder; return whether a training goes on in it.

        With `resume`, a folder of another training (other settings or data) is moved aside, not continued.

        Raises:
            UsageError: the folder holds a training and `resume` is off.
            UserError: what lies there as its checkpoint is of another program.
        """
        if self.last_checkpoint.exists():  # before the first one there is nothing to lose
            if not resume:
                raise UsageError(f"train.output_dir={self.path}: holds a training; --resume continues it")
            if self._is_same_training():
                return True
            aside = self.path.with_name(f"{self.path.name}.{time.strftime('%Y%m%d-%H%M%S')}")
            self.path.rename(aside)
            print(f"{self.path}: held a training with other settings or data, now in {aside}")
        return False

    def write_description(self, environment: dict[str, Any]) -> None:
        """Write what the training is made of: configuration, environment, hashes of the data."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)
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

    def forget_after(self, iteration: int) -> None:
        """Drop logged metrics that lie after the checkpoint a training goes on from."""
        if not self.metrics.exists():
            return
        records = []
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue  # the line that was being written when the training was killed
            if record["iteration"] <= iteration:
                records.append(line)
        with atomic_path(self.metrics) as partial:
            partial.write_text("".join(f"{line}\n" for line in records), encoding="utf-8")

    def _is_same_training(self) -> bool:
        # The checkpoint's own: one that was converted lies in a folder without anything else.
        checkpoint = read_weights(self.last_checkpoint)
        if "config" not in checkpoint:
            raise UserError(f"{self.last_checkpoint}: is of no training of ours; `vclr convert` makes one of it")
        old = flat_config(config_from_text(checkpoint["config"], str(self.last_checkpoint)))
        new = flat_config(self.config)
        differing = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
        if any(not key.startswith(WITHOUT_EFFECT) for key in differing):
            return False
        if checkpoint["iteration"] > self.config.train.max_iter:
            return False
        data = self.path / "data.json"
        return not data.exists() or read_json(data) == self.data_hashes
