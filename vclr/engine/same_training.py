"""Which settings make a training what it is. Imports no torch, because submitting a training needs them too."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from vclr.config import Config, best_metric, changed_by, differing_values, flat_config, is_as_before
from vclr.config.dataloader import AUTO
from vclr.evaluation.provenance import settings_hash

MILESTONES = "optimizer.milestones"
TEST_SET = "test_"  # before the names of its hashes
BATCH_SIZE = "dataloader.train.total_batch_size"


def is_same_training(there: Config, here: Config) -> bool:
    """Tell whether two configurations give the same weights and metrics, as far as each goes."""
    return not differing_settings(there, here)


def differing_settings(there: Config, here: Config, taken: int | None = None) -> dict[str, list[Any]]:
    """Return the settings that weights and metrics depend on and that differ, each with both values.

    Args:
        there: what a training was begun with.
        here: what is asked for now; a batch size of `auto` takes whatever was found there.
        taken: the number of iterations taken there, if they are to be continued here: milestones may differ then if the
            learning rates of these iterations do not.
    """
    changed = differing_values([flat_config(there), flat_config(here)])
    if here.dataloader.train.total_batch_size == AUTO:
        changed.pop(BATCH_SIZE, None)
    if taken is not None and _milestones_until(taken, there) == _milestones_until(taken, here):
        changed.pop(MILESTONES, None)
    found = {key: pair for key, pair in sorted(changed.items()) if changed_by(key) == "training"}
    return found | differing_values([_deciding(there), _deciding(here)])


def _deciding(config: Config) -> dict[str, Any]:
    """Return the settings of the evaluations if these decide when the training ends."""
    if not config.train.early_stopping.patience:
        return {}
    period = config.train.eval_period
    return {
        "train.eval_period": period,
        "train.best_metric": best_metric(config),
        "settings of the evaluation": settings_hash(config),
    }


def _milestones_until(taken: int, config: Config) -> list[float]:
    return [milestone for milestone in config.optimizer.milestones if milestone < taken]


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
        if changed_by(key) in ("training", "length") and not is_as_before(key, value)
    } | _deciding(config)
    return hashlib.sha256(repr(sorted(settings.items())).encode()).hexdigest()[:16]
