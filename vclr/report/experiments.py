"""Experiments as the comparison sees them: configuration and metrics seed by seed, each on one test set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vclr.catalog.classes import ALL, KNOWN, NOVEL, target_of
from vclr.catalog.metrics import BOX_HEADLINE, HEADLINE, MAX_PREDICTIONS, detections_of
from vclr.config import Config, evaluated_weights
from vclr.data.data_sets import training_set
from vclr.evaluation.caps import capped, describe_cap, fewest_shown
from vclr.evaluation.evaluated_set import EvaluatedSet, unique_titles
from vclr.evaluation.intervals import Draws, Interval, interval
from vclr.evaluation.tally import Metrics
from vclr.views.choice import drawn_views


@dataclass
class Experiment:
    """One experiment and its results on one test set, seed by seed.

    Attributes:
        name: its name in `runs/` and `results/`.
        seeds: the seeds, in the order of all lists below.
        config: the resolved configuration of the first seed.
        test_set: the test set that was evaluated.
        groups: for each group of classes, the metrics of each seed and `max_predictions`. Without groups, only the
            headline metrics, as the group `all` (which `by_test_set` renames to the protocol).
        classes: for each group, the names of its classes; empty for a test set without groups.
        untrained: for each group, the metrics of the model before training; empty if that was not evaluated.
        proposals: the same for the object proposals of the test set.
        num_images: the number of images that were evaluated; None if it was not recorded.
        draws: for each group, the bootstrap draws of each seed; empty ones for results of earlier versions.
        reference_draws: the same of `untrained` and of `proposals`, by these names.
        runs: the run folder of each seed.
        predictions: the file with the predictions of the first seed.
        checkpoints: for each seed, the sha256 of what was evaluated; "" if it was not recorded.
        recorded_weights: whether the student or the teacher was evaluated; "" if it was not recorded.
        recorded_settings: the hash of the settings of the first seed's evaluation; "" if it was not recorded.
        early_ends: for each seed, the iteration at which `train.early_stopping` ended its training, or None.
        environment: code and machine of the first run, as it recorded them; may be empty.
        data_hashes: hashes of the training data of the first run; may be empty.
        intervals: for each group, the 95 % interval over images of each metric, if the draws are not at hand; only of
            one seed.
        is_configured: False if `config` is only the defaults, because the settings of the training are not known.
        code_changes: how the code of the first run differed from its git revision, as a diff; None if it is not known.
    """

    name: str
    seeds: list[int]
    config: Config
    test_set: EvaluatedSet
    groups: dict[str, list[Metrics]]
    classes: dict[str, list[str]] = field(default_factory=dict)
    untrained: dict[str, Metrics] = field(default_factory=dict)
    proposals: dict[str, Metrics] = field(default_factory=dict)
    num_images: int | None = None
    draws: dict[str, list[Draws]] = field(default_factory=dict)
    reference_draws: dict[str, dict[str, list[Draws]]] = field(default_factory=dict)
    runs: list[Path] = field(default_factory=list)
    predictions: Path = Path()
    checkpoints: list[str] = field(default_factory=list)
    recorded_weights: str = ""
    recorded_settings: str = ""
    early_ends: list[int | None] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)
    data_hashes: dict[str, Any] = field(default_factory=dict)
    intervals: dict[str, dict[str, Interval]] = field(default_factory=dict)
    is_configured: bool = True
    code_changes: str | None = None

    @property
    def views(self) -> list[str]:
        """The views that training draws, for student or teacher."""
        return drawn_views(self.config.views, training_set(self.config))

    @property
    def iterations(self) -> list[int]:
        """The iterations of each seed's training."""
        return [end or self.config.train.max_iter for end in self.early_ends or [None] * len(self.seeds)]

    @property
    def weights(self) -> str:
        """Whether the student or the teacher was evaluated; if it was not recorded, as the training's settings say."""
        return self.recorded_weights or evaluated_weights(self.config)

    @property
    def consistency(self) -> float:
        """The weight of the consistency loss."""
        return self.config.model.criterion.weight_dict.loss_consistency

    def values(self, group: str, metric: str) -> list[float]:
        """Return a metric seed by seed; empty if a seed lacks it."""
        values = [metrics.get(metric) for metrics in self.groups.get(group, [])]
        present = [value for value in values if value is not None]
        return present if len(present) == len(values) else []

    def mean(self, group: str, metric: str) -> float | None:
        """Return the mean over the seeds."""
        values = self.values(group, metric)
        return float(np.mean(values)) if values else None

    def spread(self, group: str, metric: str) -> float | None:
        """Return the standard deviation over the seeds (n - 1); None for one seed."""
        values = self.values(group, metric)
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def measures(self, metric: str) -> bool:
        """Tell whether a metric was measured in a group."""
        return any(self.values(group, metric) for group in self.groups)

    def shows(self, metric: str) -> bool:
        """Tell whether a metric was measured and is not left out."""
        return self.measures(metric) and detections_of(metric) not in self.capped()

    def capped(self) -> list[int]:
        """List the numbers of detections at which recall is not shown, because it is capped in every group and seed."""
        first, *others = [capped(metrics) for seeds in self.groups.values() for metrics in seeds] or [[]]
        return [count for count in first if all(count in other for other in others)]

    def drawn(self, group: str, metric: str) -> np.ndarray | None:
        """Return the mean over the seeds in each bootstrap draw of the images; None if a seed has no draws."""
        return mean_draws(self.draws.get(group, []), metric)

    def over_images(self, group: str, metric: str) -> Interval | None:
        """Return the 95 % interval of the mean over the seeds if the images are drawn again; None if not known."""
        drawn = self.drawn(group, metric)
        return self.intervals.get(group, {}).get(metric) if drawn is None else interval(drawn)

    def reference(self, name: str, title: str) -> Experiment:
        """Return `untrained` or `proposals` as an experiment of one seed with a name of its own."""
        groups = {group: [metrics] for group, metrics in getattr(self, name).items()}
        return replace(self, name=title, groups=groups, draws=self.reference_draws.get(name, {}))

    def gaps(self, metric: str) -> list[float]:
        """Return, seed by seed, how far the novel classes lie below the known ones; empty without both groups."""
        pairs = zip(self.values(KNOWN, metric), self.values(NOVEL, metric), strict=False)
        return [known - novel for known, novel in pairs]


def mean_draws(seeds: list[Draws], metric: str) -> np.ndarray | None:
    """Return the mean of a metric over several evaluations in each draw of the images; None if one lacks it.

    All have the same images in a draw.
    """
    if not seeds or any(metric not in draws for draws in seeds):
        return None
    return np.asarray(np.mean([draws[metric] for draws in seeds], axis=0))


def by_test_set(experiments: Iterable[Experiment]) -> dict[str, list[Experiment]]:
    """Group experiments that can be compared: on the same test set, with the same classes in each group.

    An evaluation that only repeats another one of its experiment, with another group as the headline, is left out.

    Returns:
        For each test set its title and the experiments that were evaluated on it.
    """
    compared: list[list[Experiment]] = []
    for experiment in experiments:
        if any(_is_repeated(experiment, other) for others in compared for other in others):
            continue
        fitting = (others for others in compared if all(_are_comparable(experiment, other) for other in others))
        if (others := next(fitting, None)) is not None:
            others.append(experiment)
        else:
            compared.append([experiment])
    sets = [next((one.test_set for one in others if one.test_set.protocol), others[0].test_set) for others in compared]
    titles = unique_titles(sets, compared[0][0].config.data.root if compared else "")
    return {
        title: [_name_headline(experiment, test_set) for experiment in others]
        for title, test_set, others in zip(titles, sets, compared, strict=True)
    }


def _is_repeated(one: Experiment, other: Experiment) -> bool:
    return one.name == other.name and one.test_set.key == other.test_set.key and one.groups == other.groups


def _are_comparable(one: Experiment, other: Experiment) -> bool:
    is_same_set = one.test_set.is_same_as(other.test_set) and have_same_classes(one.classes, other.classes)
    return is_same_set and one.name != other.name


def have_same_classes(first: dict[str, list[str]], second: dict[str, list[str]]) -> bool:
    """Tell whether the groups that two evaluations share have the same classes."""
    return all(set(first[group]) == set(second[group]) for group in first.keys() & second.keys())


def _name_headline(experiment: Experiment, test_set: EvaluatedSet) -> Experiment:
    """Give the metrics of a test set without groups the name of its protocol, if it has one."""
    title = test_set.title(experiment.config.data.root)
    name = ALL if title == test_set.annotations else title

    def rename(groups: dict[str, Any]) -> dict[str, Any]:
        return {name if group == ALL else group: metrics for group, metrics in groups.items()}

    return replace(
        experiment,
        groups=rename(experiment.groups),
        untrained=rename(experiment.untrained),
        proposals=rename(experiment.proposals),
        draws=rename(experiment.draws),
        intervals=rename(experiment.intervals),
        reference_draws={reference: rename(draws) for reference, draws in experiment.reference_draws.items()},
    )


def groups_of(experiments: list[Experiment]) -> list[str]:
    """List the groups of classes of experiments on one test set."""
    return list(dict.fromkeys(group for experiment in experiments for group in experiment.groups))


def headline_of(experiments: list[Experiment]) -> str:
    """Return the headline, which the json files are about: recall of masks, or of boxes if no masks were evaluated."""
    has_masks = all(experiment.values(group, HEADLINE) for experiment in experiments for group in experiment.groups)
    return HEADLINE if has_masks else BOX_HEADLINE


def main_metric(experiments: list[Experiment]) -> str:
    """Return the metric that sentences and gaps are about: the headline, or always shown recall if one omits it."""
    return _always_shown(headline_of(experiments), experiments)[-1]


def shown_columns(experiments: list[Experiment], metrics: Sequence[str]) -> list[str]:
    """List the columns of a table: those that an experiment shows, and always shown recall if one leaves one out."""
    columns = dict.fromkeys(column for name in metrics for column in _always_shown(name, experiments))
    shown = [name for name in columns if any(one.shows(name) for one in experiments)]
    return shown or [headline_of(experiments)]


def _always_shown(recall: str, experiments: list[Experiment]) -> list[str]:
    """Return the name of a recall and, if an experiment leaves it out, that of the recall that is always shown."""
    if not any(one.measures(recall) and not one.shows(recall) for one in experiments):
        return [recall]
    names = {name for one in experiments for seeds in one.groups.values() for metrics in seeds for name in metrics}
    return [recall, f"{recall.partition('@')[0]}@{fewest_shown(map(detections_of, names))}"]


def describe_caps(experiments: list[Experiment], metrics: Sequence[str]) -> list[str]:
    """Say which experiments have so few predictions per image that some of these metrics are left out."""
    wanted, said = {*map(detections_of, metrics)}, []
    for one in experiments:
        if counts := [count for count in one.capped() if count in wanted]:
            most = max(own[MAX_PREDICTIONS] or 0 for seeds in one.groups.values() for own in seeds)
            said.append(f"{one.name}: {describe_cap(int(most), counts)}.")
    return said


def target_group(experiments: list[Experiment]) -> str:
    """Return the group that comparisons are about: the novel classes if they were evaluated apart."""
    return target_of(groups_of(experiments))


def trainings(experiments: Iterable[Experiment]) -> list[Experiment]:
    """Return one experiment of each name: a training, however many test sets it was evaluated on."""
    by_name: dict[str, Experiment] = {}
    for experiment in experiments:
        by_name.setdefault(experiment.name, experiment)
    return list(by_name.values())


def provenance(environment: dict[str, Any]) -> dict[str, str]:
    """Describe the code and the machine of a run briefly, as far as they were recorded."""
    revision = str(environment.get("git_revision") or "")[:12]
    versions = [f"{name} {environment[name]}" for name in ("vclr", "python", "torch") if environment.get(name)]
    machine = [str(environment["cpu"])] if environment.get("cpu") else []
    machine += [f"{environment['cpu_cores']} cores"] if environment.get("cpu_cores") else []
    machine += [f"{environment['memory_gib']} GiB"] if environment.get("memory_gib") else []
    machine += [str(name) for name in environment.get("gpus") or []]
    said = {"revision": revision + (" with local changes" if revision and environment.get("git_dirty") else "")}
    said |= {"versions": ", ".join(versions), "machine": ", ".join(machine)}
    return {name: text for name, text in said.items() if text}
