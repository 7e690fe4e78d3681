"""Which settings make a training what it is. Imports no torch: who only submits trainings asks too."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from vclr.config import Config, flat_config
from vclr.config.load import is_as_before
from vclr.run_settings import RUN_SETTINGS

TEST_SET = "test_"  # before the names of its hashes
# Settings that change neither weights nor metrics: a training goes on when they differ.
WITHOUT_EFFECT = (
    *RUN_SETTINGS,
    "train.max_iter",
    "train.tf32",
    "train.model_ema.use_ema_weights_for_eval_only",
    "dataloader.test.",
    "data.test.",
    "evaluation.",
    "model.nms_thresh",
    "model.select_box_nums_for_evaluation",
)


def is_same_training(one: Config, other: Config) -> bool:
    """Tell whether two configurations give the same weights and metrics, as far as each goes."""
    return not differing_settings(one, other)


def differing_settings(one: Config, other: Config) -> dict[str, tuple[Any, Any]]:
    """Return the settings that weights and metrics depend on and that differ between two configurations.

    Returns:
        The values of both by the setting's name; None for a view or group that one of them does not have.
    """
    first, second = flat_config(one), flat_config(other)
    values = {key: (first.get(key), second.get(key)) for key in sorted(first.keys() | second.keys())}
    return {key: pair for key, pair in values.items() if pair[0] != pair[1] and not key.startswith(WITHOUT_EFFECT)}


def differing_data(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Return the names of the data that two trainings read and whose hashes differ.

    What one of them has no hash of was hashed by another version, or is there no more; the test set changes no weights.
    """
    common = sorted(one.keys() & other.keys())
    return [name for name in common if one[name] != other[name] and not name.startswith(TEST_SET)]


def training_hash(config: Config) -> str:
    """Return a short hash of the settings that make a training and its length what they are, and of no others."""
    settings = {
        key: value
        for key, value in flat_config(config).items()
        if not (key.startswith(WITHOUT_EFFECT) or is_as_before(key, value))
    }
    settings["train.max_iter"] = config.train.max_iter
    return hashlib.sha256(repr(sorted(settings.items())).encode()).hexdigest()[:16]
