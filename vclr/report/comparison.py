"""Which experiments are compared, and their results side by side."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vclr.catalog.metrics import SHOWN_METRICS
from vclr.errors import UsageError, nearest
from vclr.evaluation.intervals import Interval, interval
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
        group: the group of classes that was evaluated.
        results: for each metric that both have, the paired result.
        over_images: for each metric that both have bootstrap draws of, the 95 % interval of the difference of the means
            over the seeds if the images are drawn again.
        differences: the settings that differ between the two trainings, each with its value in the first and in the
            second.
    """

    first: Experiment
    second: Experiment
    group: str
    results: dict[str, PairedResult]
    over_images: dict[str, Interval]
    differences: dict[str, list[Any]]

    @property
    def further(self) -> list[str]:
        """The settings that differ, if there are several: then nobody can tell which of them is the cause."""
        return list(self.differences) if len(self.differences) > 1 else []

    def shown(self, metric: str) -> float:
        """Return the difference of the means that are shown for a metric."""
        return shown_difference(self.first.values(self.group, metric), self.second.values(self.group, metric))


def check_pairs(pairs: Pairs, names: Sequence[str]) -> None:
    """Check the pairs to compare.

    Args:
        pairs: the pairs.
        names: the names of the experiments.

    Raises:
        UsageError: a pair names an unknown experiment (the error names the nearest) or one experiment twice, or occurs
            twice.
    """
    for position, pair in enumerate(pairs):
        shown = ":".join(pair)
        for name in pair:
            if name not in names:
                raise UsageError(f"pair {shown}: {name} is not among the experiments; nearest: {nearest(name, names)}")
        if pair[0] == pair[1]:
            raise UsageError(f"pair {shown}: names one experiment twice; name two experiments")
        if {*pair} in map(set, pairs[:position]):
            raise UsageError(f"pair {shown}: is named twice; name it once, in one order")


def warn_of_apart(pairs: Pairs, by_set: Mapping[str, list[Experiment]]) -> None:
    """Warn of pairs that have no common test set, so that no table compares them."""
    together = [{experiment.name for experiment in experiments} for experiments in by_set.values()]
    for pair in pairs:
        if not any(names.issuperset(pair) for names in together):
            log.warning("pair %s: is not compared; the two were evaluated on different test sets", ":".join(pair))


def compare(experiments: list[Experiment], pairs: Pairs = ()) -> dict[str, Comparison]:
    """Compare experiments on the target group of one test set.

    Args:
        experiments: those that were evaluated on the test set.
        pairs: those to compare, if both are among `experiments`; without pairs, each is compared with the first.

    Returns:
        The comparisons by name: `demo - demo_views`, ...
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
    over_images = {metric: found for metric in results if (found := paired_interval(first, second, group, metric))}
    return Comparison(first, second, group, results, over_images, differing_settings(first, second))


def paired_interval(first: Experiment, second: Experiment, group: str, metric: str) -> Interval | None:
    """Return the interval of the difference of two experiments over images, None without draws of both.

    Each draw has the same images for both, so it is narrower than the intervals of the two suggest. There is none if
    they were evaluated on different numbers of images (`filter_empty`), because then each draw has different ones.
    """
    if first.num_images != second.num_images:
        return None
    drawn = first.drawn(group, metric), second.drawn(group, metric)
    return None if drawn[0] is None or drawn[1] is None else interval(drawn[0] - drawn[1])


def shown_difference(a: list[float], b: list[float]) -> float:
    """Return the difference that a reader computes from two means as shown, with one decimal each."""
    return float(f"{shown_mean(a) - shown_mean(b):.1f}") + 0.0  # no -0.0


def shown_mean(values: list[float]) -> float:
    """Return a mean with the one decimal that is shown."""
    return float(f"{np.mean(values):.1f}")
