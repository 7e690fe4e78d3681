"""Which experiments are compared, and their results side by side."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vclr.catalog.metrics import SHOWN_METRICS
from vclr.errors import UsageError, nearest
from vclr.report.differences import differing_settings
from vclr.report.experiments import Experiment, target_group
from vclr.report.paired_test import PairedResult, paired_test

log = logging.getLogger("vclr.report")

Pairs = Sequence[tuple[str, str]]  # names of experiments; the results are of the first minus the second


@dataclass(frozen=True)
class Comparison:
    """Two experiments side by side.

    Attributes:
        first, second: the experiments; the results are `first - second`.
        group: the group of classes that the results are of.
        results: for each metric that both have, the paired result.
        differences: the settings that the two trainings differ in, each with its values in the first and the second.
    """

    first: Experiment
    second: Experiment
    group: str
    results: dict[str, PairedResult]
    differences: dict[str, tuple[Any, Any]]

    @property
    def further(self) -> list[str]:
        """The settings that differ if there are several: the results then do not tell which of them is the cause."""
        return list(self.differences) if len(self.differences) > 1 else []

    def shown(self, metric: str) -> float:
        """Return the difference of a metric as it agrees with the means that are shown."""
        return shown_difference(self.first.values(self.group, metric), self.second.values(self.group, metric))


def check_pairs(pairs: Pairs, experiments: Iterable[str]) -> None:
    """Check the pairs to compare.

    Raises:
        UsageError: a pair names an experiment that is not among `experiments` (the error names the nearest) or one
            experiment twice, or is there twice.
    """
    names = list(experiments)
    for position, pair in enumerate(pairs):
        shown = ":".join(pair)
        for name in pair:
            if name not in names:
                raise UsageError(f"pair {shown}: {name} is not among the experiments; nearest: {nearest(name, names)}")
        if pair[0] == pair[1]:
            raise UsageError(f"pair {shown}: names one experiment twice; name two experiments")
        if pair in pairs[:position]:
            raise UsageError(f"pair {shown}: is there twice; name it once")


def warn_of_apart(pairs: Pairs, by_set: Mapping[str, list[Experiment]]) -> None:
    """Warn of pairs that were not evaluated on a common test set, which no table compares."""
    together = [{experiment.name for experiment in experiments} for experiments in by_set.values()]
    for pair in pairs:
        if not any(names.issuperset(pair) for names in together):
            log.warning("pair %s: is not compared, as the two were not evaluated on the same test set", ":".join(pair))


def compare(experiments: list[Experiment], pairs: Pairs = ()) -> dict[str, Comparison]:
    """Compare experiments on the target group of one test set.

    Args:
        experiments: those that were evaluated on the test set.
        pairs: which to compare, as far as they are among them; without pairs, each with the first.

    Returns:
        By pair: `demo - demo_views`, ...
    """
    group, by_name = target_group(experiments), {experiment.name: experiment for experiment in experiments}
    first_name, *others = by_name
    comparisons = {}
    for first, second in pairs or [(name, first_name) for name in others]:
        if first in by_name and second in by_name:
            comparisons[f"{first} - {second}"] = _compare(by_name[first], by_name[second], group)
    return comparisons


def _compare(first: Experiment, second: Experiment, group: str) -> Comparison:
    values = {metric: (first.values(group, metric), second.values(group, metric)) for metric in SHOWN_METRICS}
    results = {metric: paired_test(a, b) for metric, (a, b) in values.items() if a and b}
    return Comparison(first, second, group, results, differing_settings(first, second))


def shown_difference(a: list[float], b: list[float]) -> float:
    """Return the difference of two means as a reader finds it who subtracts what is shown, one decimal each."""
    return float(f"{_shown(a) - _shown(b):.1f}") + 0.0  # no -0.0


def _shown(values: list[float]) -> float:
    return float(f"{np.mean(values):.1f}")
