"""The seeds of an experiment as one: lists of values seed by seed, on each test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vclr.report.experiments import Experiment, have_same_classes


def join_seeds(runs: Sequence[Sequence[Experiment]], seeds: Sequence[int]) -> list[Experiment]:
    """Return trainings that differ only in their seeds as one experiment per test set, of the seeds evaluated on it.

    Args:
        runs: of each training its results, one entry of one seed per test set.
        seeds: the seed of each training.
    """
    sets: list[list[tuple[int, Experiment]]] = []
    for seed, results in zip(seeds, runs, strict=True):
        for one in results:
            same = [parts for parts in sets if _are_seeds(parts[0][1], one) and seed not in dict(parts)]
            if same:
                same[0].append((seed, one))
            else:
                sets.append([(seed, one)])
    return [_join(dict(sorted(parts, key=lambda part: part[0]))) for parts in sets]


def on_shared_seeds(one: Experiment, other: Experiment) -> tuple[Experiment, Experiment]:
    """Return two experiments with only the seeds that both have, which pairs their values."""
    shared = [seed for seed in one.seeds if seed in other.seeds]
    return _choose(one, shared), _choose(other, shared)


def _are_seeds(one: Experiment, other: Experiment) -> bool:
    is_same_set = one.test_set.is_same_as(other.test_set) and one.groups.keys() == other.groups.keys()
    return is_same_set and have_same_classes(one.classes, other.classes) and one.num_images == other.num_images


def _join(parts: dict[int, Experiment]) -> Experiment:
    """Join by seed; what only one of them can tell, such as the settings, is told by the first."""
    first, runs = next(iter(parts.values())), [*parts.values()]
    return replace(
        first,
        seeds=[*parts],
        groups={group: [run.groups[group][0] for run in runs] for group in first.groups},
        # If one has no draws, the mean over the seeds has none either.
        draws={
            group: [run.draws[group][0] for run in runs]
            for group in first.groups
            if all(run.draws.get(group) for run in runs)
        },
        intervals=first.intervals if len(runs) == 1 else {},
        runs=[folder for run in runs for folder in run.runs],
    )


def _choose(experiment: Experiment, seeds: list[int]) -> Experiment:
    places = [experiment.seeds.index(seed) for seed in seeds]
    groups = {group: [values[place] for place in places] for group, values in experiment.groups.items()}
    draws = {group: [values[place] for place in places] for group, values in experiment.draws.items() if values}
    return replace(experiment, seeds=seeds, groups=groups, draws=draws)
