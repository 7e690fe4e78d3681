"""Which settings make a training what it is. Imports no torch: who only submits trainings asks too."""

from __future__ import annotations

import hashlib

from vclr.config import Config, flat_config

# Settings that change neither weights nor metrics: a training goes on when they differ.
WITHOUT_EFFECT = (
    "train.output_dir",
    "train.max_iter",
    "train.device",
    "train.log_period",
    "train.eval_period",
    "train.num_threads",
    "train.micro_batch_size",
    "train.compile",
    "train.tf32",
    "train.checkpointer.",
    "train.model_ema.use_ema_weights_for_eval_only",
    "dataloader.train.num_workers",
    "dataloader.train.prefetch_factor",
    "dataloader.test.",
    "data.test.",
    "evaluation.",
    "tracking.",
    "launcher.",
    "model.nms_thresh",
    "model.select_box_nums_for_evaluation",
)


def is_same_training(one: Config, other: Config) -> bool:
    """Tell whether two configurations give the same weights and metrics, as far as each goes."""
    first, second = flat_config(one), flat_config(other)
    differing = {key for key in first.keys() | second.keys() if first.get(key) != second.get(key)}
    return all(key.startswith(WITHOUT_EFFECT) for key in differing)


def training_hash(config: Config) -> str:
    """Return a short hash of the settings that make a training and its length what they are, and of no others."""
    settings = {key: value for key, value in flat_config(config).items() if not key.startswith(WITHOUT_EFFECT)}
    settings["train.max_iter"] = config.train.max_iter
    return hashlib.sha256(repr(sorted(settings.items())).encode()).hexdigest()[:16]
