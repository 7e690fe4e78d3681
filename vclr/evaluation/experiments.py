"""Experiments as the comparison sees them: configuration, role, metrics seed by seed.

Layout: `runs/<experiment>/seed<k>/config.yaml`, `results/<experiment>/seed<k>/metrics.json` (of a training made by hand
without `seed<k>/`) and, as references,
`results/<experiment>/untrained/metrics.json` (the model before training) and `proposals/metrics.json`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vclr.config import Config, flat_config, load_config
from vclr.data.catalog import training_set, view_weights
from vclr.errors import UserError
from vclr.evaluation.recall import Metrics
from vclr.files import read_json

KNOWN, NOVEL = "known", "novel"
BASELINE, VIEWS, FULL = "baseline", "views", "v-CLR"
OWN_NAMES = ("train.output_dir", "train.seed", "tracking.run_name")  # settings that name a run and change nothing in it


@dataclass
class Experiment:
    """One experiment and its results, seed by seed.

    Attributes:
        name: its name in `runs/` and `results/`.
        seeds: the seeds, in the order of all lists below.
        config: the resolved configuration of the first seed.
        groups: for each group of classes, the metrics of each seed. Without groups, the headline metrics alone under
            the protocol's name, or `all`.
        untrained: for each group, the metrics of the model before training; empty where that was not evaluated.
        proposals: the same of the object proposals of the test set, which no training made.
        environment: what the first run wrote about code and machine; may be empty.
    """

    name: str
    seeds: list[int]
    config: Config
    groups: dict[str, list[Metrics]]
    untrained: dict[str, Metrics] = field(default_factory=dict)
    proposals: dict[str, Metrics] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def views(self) -> list[str]:
        """The views that training draws from."""
        return list(view_weights(self.config.views, training_set(self.config)))

    @property
    def consistency(self) -> float:
        """The weight of the consistency loss."""
        return self.config.model.criterion.weight_dict.loss_consistency

    @property
    def role(self) -> str | None:
        """What it stands for in the comparison: the natural view only, other views, other views and consistency."""
        if self.views == ["natural"]:
            return None if self.consistency else BASELINE
        return FULL if self.consistency else VIEWS

    def values(self, group: str, metric: str) -> list[float]:
        """Return a metric seed by seed; empty where it does not exist."""
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

    def gaps(self, metric: str) -> list[float]:
        """Return, seed by seed, how far the novel classes lie below the known ones; empty without both groups."""
        pairs = zip(self.values(KNOWN, metric), self.values(NOVEL, metric), strict=False)
        return [known - novel for known, novel in pairs]


def read_experiments(experiments: list[str], seeds: list[int], runs: Path, results: Path) -> list[Experiment]:
    """Read the configuration and the metrics of each experiment and seed.

    Raises:
        UserError: a file is missing or damaged, or no experiment or seed is named; names it.
    """
    if not experiments or not seeds:
        raise UserError("no experiment and seed to report on")
    if len(seeds) > 1:
        for name in experiments:
            if (by_hand := seed_folder(Path(runs) / name, seeds[0])).name == Path(name).name:
                raise UserError(f"{by_hand}: is one training, without seeds; leave out --seeds")
    return [_read_experiment(name, seeds, Path(runs), Path(results)) for name in experiments]


def seed_folder(experiment: Path, seed: int) -> Path:
    """Return the folder of one seed in the runs or the results of an experiment.

    A training made by hand has no folder for its seed: `runs/mine` then stands for the only seed that is asked for.
    """
    folder = experiment / f"seed{seed}"
    is_made_by_hand = any((experiment / name).is_file() for name in ("config.yaml", "metrics.json"))
    return experiment if is_made_by_hand and not folder.exists() else folder


def _read_experiment(name: str, seeds: list[int], runs: Path, results: Path) -> Experiment:
    folders = [seed_folder(runs / name, seed) for seed in seeds]
    for folder in folders:
        if not (folder / "config.yaml").is_file():
            raise UserError(f"{folder / 'config.yaml'}: no such file (is {name} trained with this seed?)")
    config = load_config(folders[0] / "config.yaml")
    headline = config.evaluation.protocol or "all"
    scored = [_read_groups(seed_folder(results / name, seed) / "metrics.json", headline) for seed in seeds]
    references = [results / name / reference / "metrics.json" for reference in ("untrained", "proposals")]
    untrained, proposals = (_read_groups(path, headline) if path.is_file() else {} for path in references)
    environment = folders[0] / "environment.json"
    return Experiment(
        name,
        seeds,
        config,
        {group: [groups.get(group, {}) for groups in scored] for group in scored[0]},
        untrained,
        proposals,
        read_json(environment) if environment.is_file() else {},
    )


def _read_groups(path: Path, headline: str) -> dict[str, Metrics]:
    metrics = read_json(path)
    groups = metrics.get("groups") if isinstance(metrics, dict) else None
    if not isinstance(metrics, dict) or not isinstance(groups or {}, dict):
        raise UserError(f"{path}: is not a file of metrics")
    return groups or {headline: {name: value for name, value in metrics.items() if name.startswith(("box_", "mask_"))}}


def main_metric(experiments: list[Experiment]) -> str:
    """Return the metric that comparisons are about: recall of masks, or of boxes where no masks were evaluated."""
    has_masks = all(
        experiment.values(group, "mask_ar@100") for experiment in experiments for group in experiment.groups
    )
    return "mask_ar@100" if has_masks else "box_ar@100"


def target_group(experiments: list[Experiment]) -> str:
    """Return the group that comparisons are about: the novel classes where they were evaluated apart."""
    groups = list(experiments[0].groups)
    return NOVEL if NOVEL in groups else groups[0]


def differences(experiments: list[Experiment]) -> dict[str, list[Any]]:
    """Return the settings that differ between the experiments, each with its value in every experiment."""
    flat = [flat_config(experiment.config) for experiment in experiments]
    keys = sorted({key for settings in flat for key in settings} - set(OWN_NAMES))
    values = {key: [settings.get(key) for settings in flat] for key in keys}
    return {key: row for key, row in values.items() if any(value != row[0] for value in row)}


def provenance(environment: dict[str, Any]) -> dict[str, str]:
    """Say in a few words what code on what machine made a run, as far as it was recorded."""
    revision = str(environment.get("git_revision") or "")[:12]
    versions = [f"{name} {environment[name]}" for name in ("vclr", "python", "torch") if environment.get(name)]
    machine = [str(environment["cpu"])] if environment.get("cpu") else []
    machine += [f"{environment['cpu_cores']} cores"] if environment.get("cpu_cores") else []
    machine += [f"{environment['memory_gib']} GiB"] if environment.get("memory_gib") else []
    machine += [str(name) for name in environment.get("gpus") or []]
    said = {"revision": revision + (" with local changes" if revision and environment.get("git_dirty") else "")}
    said |= {"versions": ", ".join(versions), "machine": ", ".join(machine)}
    return {name: text for name, text in said.items() if text}
