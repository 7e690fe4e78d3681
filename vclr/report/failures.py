"""Which failures the report shows: the most telling ones of each kind, few enough for one file."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from math import ceil
from typing import Any, NamedTuple

import numpy as np

from vclr.report.annotated import Annotated
from vclr.report.outcomes import Outcomes

NUM_FAILURES = 60  # of each kind, per test set
MAX_PER_IMAGE = 2  # of a kind: a crowded image must not fill the browser
MISSED, ONLY, UNFITTING = "missed", "only", "unfitting"


class Failure(NamedTuple):
    """A failure of detectors, or something that only one of them found.

    Attributes:
        kind: `missed` (by all), `only` (found by one of several), or `unfitting` (a prediction that fits no object).
        image_id: its image.
        group: the group of the object; "" for a prediction.
        position: the object's position among the annotations; None for a prediction.
        experiment: the one that alone found the object or that made the prediction; "" if all missed it.
        rank: the prediction's rank in its image; None for an object.
    """

    kind: str
    image_id: Any
    group: str = ""
    position: int | None = None
    experiment: str = ""
    rank: int | None = None


def pick_failures(annotated: Annotated, outcomes: Mapping[str, Outcomes], count: int = NUM_FAILURES) -> list[Failure]:
    """Pick up to `count` failures of each kind, shared equally by groups and experiments.

    Of the objects that all missed, the largest are picked; of those that one experiment found, the ones that it found
    best; of the predictions that fit no object, those with the highest scores, one per image.
    """
    groups = annotated.groups
    per_group, per_experiment = ceil(count / max(1, len(groups))), ceil(count / max(1, len(outcomes)))
    of_kinds: tuple[Iterator[Failure], ...] = (
        chain.from_iterable(_missed(annotated, group, outcomes, per_group) for group in groups),
        chain.from_iterable(_only(annotated, group, outcomes, per_group) for group in groups),
        chain.from_iterable(_unfitting(name, one, per_experiment) for name, one in outcomes.items()),
    )
    return [failure for of_kind in of_kinds for failure in islice(of_kind, count)]


def _missed(annotated: Annotated, group: str, outcomes: Mapping[str, Outcomes], count: int) -> Iterator[Failure]:
    times_found = _times_found(group, outcomes)
    missed = np.flatnonzero((times_found == 0) & annotated.objects_of(group))
    order = missed[np.argsort(-annotated.areas[missed], kind="stable")]
    for position in _spread(order, annotated, count):
        yield Failure(MISSED, annotated.annotations[position]["image_id"], group, position)


def _only(annotated: Annotated, group: str, outcomes: Mapping[str, Outcomes], count: int) -> Iterator[Failure]:
    if len(outcomes) < 2:
        return
    found_once = _times_found(group, outcomes) == 1
    for name, one in outcomes.items():
        found = np.flatnonzero(found_once & (one.levels[group] > 0))
        order = found[np.lexsort((-annotated.areas[found], -one.levels[group][found]))]
        for position in _spread(order, annotated, ceil(count / len(outcomes))):
            yield Failure(ONLY, annotated.annotations[position]["image_id"], group, position, name)


def _unfitting(name: str, outcomes: Outcomes, count: int) -> Iterator[Failure]:
    for found in heapq.nlargest(count, outcomes.unfitting, key=lambda one: one.score):
        yield Failure(UNFITTING, found.image_id, experiment=name, rank=found.rank)


def _times_found(group: str, outcomes: Mapping[str, Outcomes]) -> np.ndarray:
    """Return (n,) the number of experiments that found each object of a group."""
    return np.sum([one.levels[group] > 0 for one in outcomes.values()], axis=0)


def _spread(order: Iterable[int], annotated: Annotated, count: int) -> Iterator[int]:
    """Yield the first positions, but only a few per image."""
    used: Counter[Any] = Counter()
    for position in order:
        image_id = annotated.annotations[position]["image_id"]
        if used.total() < count and used[image_id] < MAX_PER_IMAGE:
            used[image_id] += 1
            yield int(position)
