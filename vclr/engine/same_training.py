"""Which settings make a training what it is. Imports no torch, because submitting a training needs them too."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from vclr.config import Config, best_metric, changed_by, differing_values, flat_config, is_as_before
from vclr.config.dataloader import AUTO
from vclr.data.data_sets import evaluated_groups

MILESTONES = "optimizer.milestones"
TEST_SET = "test_"  # before the names of its hashes
BATCH_SIZE = "dataloader.train.total_batch_size"
# What only chooses the files of the test set, which have hashes, or the weights, which the metric names.
WITHOUT_EFFECT_ON_WAY = (
    *("data.", "dataloader.test.dataset.names", "evaluation.files", "evaluation.protocols", "evaluation.test_sets"),
    "train.model_ema.",
)


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
    if evaluations_decide(there) and evaluations_decide(here):
        found |= differing_values([_deciding(there), _deciding(here)])
    return found


def evaluations_decide(config: Config) -> bool:
    """Tell whether the evaluations decide when the training ends."""
    return config.train.early_stopping.patience > 0


def _deciding(config: Config) -> dict[str, Any]:
    """Return the settings that the decision depends on, besides those of the training."""
    own = {"train.eval_period": config.train.eval_period, "train.best_metric": best_metric(config)}
    return own | _evaluation_settings(config)


def _evaluation_settings(config: Config) -> dict[str, Any]:
    """Return the settings that the metrics of an evaluation on the way depend on, besides weights and files."""
    config = replace(config, evaluation=replace(config.evaluation, groups=evaluated_groups(config)))
    return {
        key: value
        for key, value in flat_config(config).items()
        if changed_by(key) == "evaluation" and not key.startswith(WITHOUT_EFFECT_ON_WAY)
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


def differing_data(one: Mapping[str, str], other: Mapping[str, str], with_test_set: bool = False) -> list[str]:
    """Return the names of the data that two trainings read and whose hashes differ.

    What one of them has no hash of was hashed by another version, or is there no more. The test set changes no weights,
    unless the evaluations decide.
    """
    common = sorted(one.keys() & other.keys())
    return [name for name in common if one[name] != other[name] and (with_test_set or not name.startswith(TEST_SET))]


def evaluation_hash(config: Config, data_hashes: Mapping[str, str]) -> str:
    """Return a short hash of what the metrics of an evaluation on the way depend on, besides the weights.

    Args:
        config: the training.
        data_hashes: hashes of the data that it reads.
    """
    tested = {name: digest for name, digest in data_hashes.items() if name.startswith(TEST_SET)}
    return _short_hash(_evaluation_settings(config) | tested)


def training_hash(config: Config) -> str:
    """Return a short hash of the settings that make a training and its length what they are, and of no others."""
    flat = flat_config(config).items()
    settings = {key: value for key, value in flat if changed_by(key) in ("training", "length")}
    if evaluations_decide(config):
        settings |= _deciding(config)
    return _short_hash({key: value for key, value in settings.items() if not is_as_before(key, value)})


def hash_run(config: Config, data_hashes: Mapping[str, str]) -> str:
    """Return a short hash of all that a training's weights and length depend on."""
    trained = {name: digest for name, digest in data_hashes.items() if not name.startswith(TEST_SET)}
    return _short_hash({"settings": training_hash(config), **trained})


def _short_hash(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()[:16]
