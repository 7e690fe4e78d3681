"""Which settings make a training what it is. Imports no torch, because submitting a training needs them too."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import zip_longest
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
            learning rates of these iterations do not. Otherwise they may differ as far as the lengths do.
    """
    changed = differing_values([flat_config(there), flat_config(here)])
    if here.dataloader.train.total_batch_size == AUTO:
        changed.pop(BATCH_SIZE, None)
    if _have_same_shares(there, here) if taken is None else passed(there, taken) == passed(here, taken):
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


def passed(config: Config, taken: int) -> list[int | float]:
    """Return the milestones that lower the learning rate of the first `taken` iterations."""
    return [milestone for milestone in config.optimizer.milestones if milestone < taken]


def _have_same_shares(one: Config, other: Config) -> bool:
    """Tell whether the milestones of two trainings may be the same shares of their lengths."""
    # A share of at most m / n, but more than (m - 1) / n, is reached at iteration m of n; one left out, at the end.
    lengths = one.train.max_iter, other.train.max_iter
    pairs = zip_longest(one.optimizer.milestones, other.optimizer.milestones)
    ends = [[(length if m is None else m, length) for m, length in zip(pair, lengths, strict=True)] for pair in pairs]
    return all(max((m - 1) / n for m, n in pair) < min(m / n for m, n in pair) for pair in ends)


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
