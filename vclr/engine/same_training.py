"""Which settings make a training what it is. Imports no torch, because submitting a training needs them too."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from vclr.config import Config, changed_by, differing_values, flat_config, is_as_before

MILESTONES = "optimizer.milestones"
TEST_SET = "test_"  # before the names of its hashes


def is_same_training(one: Config, other: Config) -> bool:
    """Tell whether two configurations give the same weights and metrics, as far as each goes."""
    return not differing_settings(one, other)


def differing_settings(one: Config, other: Config, taken: int | None = None) -> dict[str, list[Any]]:
    """Return the settings that weights and metrics depend on and that differ, each with both values.

    With the number of iterations that one of them has `taken`, milestones may differ if the learning rates of these
    iterations do not.
    """
    changed = differing_values([flat_config(one), flat_config(other)])
    if taken is not None and _milestones_until(taken, one) == _milestones_until(taken, other):
        changed.pop(MILESTONES, None)
    return {key: pair for key, pair in sorted(changed.items()) if changed_by(key) == "training"}


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
    }
    return hashlib.sha256(repr(sorted(settings.items())).encode()).hexdigest()[:16]
