"""Read experiments from the folders of their runs and results.

Layout: `runs/<experiment>/seed<k>/config.yaml`, `results/<experiment>/seed<k>/metrics.json` and, as references,
`results/<experiment>/untrained/metrics.json` (the model before training) and `proposals/metrics.json`. With
`evaluation.protocols`, each of these metrics.json is in a folder of the protocol's name. A training of your own may
be in `runs/<experiment>/` and `results/<experiment>/` without `seed<k>/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from vclr.catalog.classes import ALL, resolve_groups
from vclr.catalog.metrics import BOUNDARY, KINDS, MAX_PREDICTIONS
from vclr.config import Config, read_config
from vclr.errors import UserError
from vclr.evaluation.best import early_end
from vclr.evaluation.evaluated_set import EvaluatedSet, read_evaluated_set
from vclr.evaluation.intervals import DRAWS_FILE, Draws, interval, read_draws
from vclr.evaluation.tally import Metrics
from vclr.files import read_facts, read_json
from vclr.report.experiments import Experiment, have_same_classes
from vclr.report.history import read_history
from vclr.tracking.description import is_of_seed
from vclr.tracking.run_files import RunFiles

REFERENCES = ("untrained", "proposals")  # results without a training, beside those of the seeds


def read_experiments(experiments: list[str], seeds: list[int], runs: Path, results: Path) -> list[Experiment]:
    """Read the configuration and the metrics of each experiment and seed.

    Returns:
        The experiments in the order of their names; one that was evaluated on several test sets occurs once per set.

    Raises:
        UserError: a file is missing or damaged, which the error names; the seeds of an experiment were evaluated on
            different test sets; or no experiment or seed is named.
    """
    if not experiments or not seeds:
        raise UserError("no experiment or no seed to compare; name at least one of each")
    return [read for name in experiments for read in _read_experiment(name, seeds, Path(runs), Path(results))]


def _read_experiment(name: str, seeds: list[int], runs: Path, results: Path) -> list[Experiment]:
    folders = [_folder_of(runs / name, seed, seeds, "config.yaml") for seed in seeds]
    for file in (folder / "config.yaml" for folder in folders):
        if not file.is_file():
            raise UserError(f"{file}: does not exist (was {name} trained with this seed?)")
    config = read_config(folders[0] / "config.yaml")
    environment, data_hashes = (read_facts(folders[0] / file) for file in ("environment.json", "data.json"))
    stops_early = bool(config.train.early_stopping.patience)
    early_ends = [early_end(read_history(one / "metrics.jsonl"), config) if stops_early else None for one in folders]
    scored = [_folder_of(results / name, seed, seeds, "metrics.json") for seed in seeds]
    protocols = list(dict.fromkeys(protocol for folder in scored for protocol in protocols_in(folder))) or [""]
    by_set: dict[Any, Experiment] = {}
    for protocol in protocols:
        scores = [_read_scores(folder / protocol / "metrics.json", config, protocol) for folder in scored]
        references: dict[str, Any] = {
            reference: _read_scores(path, config, protocol)
            for reference in REFERENCES
            if (path := results / name / reference / protocol / "metrics.json").is_file()
        }
        _check_same_set([*scores, *references.values()])
        experiment = Experiment(
            name,
            seeds,
            config,
            scores[0].test_set,
            {group: [score.groups.get(group, {}) for score in scores] for group in scores[0].groups},
            scores[0].classes,
            **{reference: score.groups for reference, score in references.items()},  # untrained, proposals
            num_images=scores[0].num_images,
            draws={group: [score.draws.get(group, {}) for score in scores] for group in scores[0].groups},
            reference_draws={
                reference: {group: [draws] for group, draws in score.draws.items()}
                for reference, score in references.items()
            },
            runs=folders,
            predictions=scored[0] / protocol / "predictions.json",
            checkpoints=[score.checkpoint for score in scores],
            recorded_weights=scores[0].weights,
            recorded_settings=scores[0].settings,
            early_ends=early_ends,
            environment=environment,
            data_hashes=data_hashes,
        )
        key = experiment.test_set.key
        by_set[key] = _merge(by_set[key], experiment) if key in by_set else experiment
    _check_same_checkpoints(list(by_set.values()))
    return list(by_set.values())


def read_results(name: str, folder: Path, run: Path | None) -> list[Experiment]:
    """Read the results of one evaluated training, one entry per test set.

    Args:
        name: what to call it.
        folder: holds `metrics.json`, or a folder with one for each protocol.
        run: the run folder, or None if it is not known; then the configuration is not either, and `runs` is empty.

    Raises:
        UserError: a file is missing or damaged.
    """
    config = read_config(run / "config.yaml") if run else Config()
    facts = {name: read_facts(run / f"{name}.json") if run else {} for name in ("data", "environment")}
    code = read_code_changes(run, facts["environment"]) if run else None
    found = []
    for protocol in protocols_in(folder):
        score = _read_scores(folder / protocol / "metrics.json", config, protocol)
        found.append(
            Experiment(
                name,
                [0],
                config,
                score.test_set,
                {group: [metrics] for group, metrics in score.groups.items()},
                score.classes,
                num_images=score.num_images,
                draws={group: [draws] for group, draws in score.draws.items()},
                runs=[run] if run else [],
                recorded_weights=score.weights,
                environment=facts["environment"],
                data_hashes=facts["data"],
                is_configured=run is not None,
                code_changes=code,
            )
        )
    return found


def _folder_of(parent: Path, seed: int, seeds: list[int], file: str) -> Path:
    """Return the folder of a seed; for a single seed, this may be the experiment's own folder."""
    folder = parent / f"seed{seed}"
    is_alone = len(seeds) == 1 and not folder.is_dir()
    return parent if is_alone and ((parent / file).is_file() or protocols_in(parent)) else folder


def protocols_in(folder: Path) -> list[str]:
    """List the protocols that have metrics in a folder; "" stands for metrics of no protocol."""
    names = [path.parent.name for path in sorted(folder.glob("*/metrics.json"))]
    own = [name for name in names if name not in REFERENCES and not is_of_seed(name)]
    return own + [""] * (folder / "metrics.json").is_file()


def read_code_changes(run: Path, environment: dict[str, Any]) -> str | None:
    """Return how the code of a run differed from its git revision; None if that was not recorded."""
    path = RunFiles(run).code
    if path.is_file():
        return path.read_text(encoding="utf-8", errors="replace")
    return "" if environment.get("git_dirty") is False else None


@dataclass
class _Scores:
    """A file of metrics.

    Attributes:
        path: path of the file.
        test_set: the test set that was evaluated.
        num_images: the number of images that were evaluated; None if it was not recorded.
        groups: the metrics of each group.
        draws: their bootstrap draws; empty for results of earlier versions.
        classes: the names of the classes of each group that has some.
        checkpoint: the sha256 of the checkpoint, "" if it was not recorded.
        weights: whether the student or the teacher was evaluated, "" if it was not recorded.
        settings: the hash of the evaluation's settings, "" if it was not recorded.
    """

    path: Path
    test_set: EvaluatedSet
    num_images: int | None
    groups: dict[str, Metrics]
    draws: dict[str, Draws]
    classes: dict[str, list[str]]
    checkpoint: str
    weights: str
    settings: str


def _read_scores(path: Path, config: Config, protocol: str) -> _Scores:
    metrics = read_json(path)
    groups = metrics.get("groups") if isinstance(metrics, dict) else None
    if not isinstance(metrics, dict) or not isinstance(groups or {}, dict):
        raise UserError(f"{path}: is not a file of metrics")
    said = metrics.get("provenance")
    said = said if isinstance(said, dict) else {}
    of = said.get("checkpoint")
    checkpoint = str(of.get("sha256") or "") if isinstance(of, dict) else ""
    weights, settings = (str(said.get(key) or "") for key in ("weights", "config"))
    classes = _read_classes(said, path, config)
    draws = read_draws(path.parent / DRAWS_FILE) if "intervals" in metrics else {}
    if not groups:
        protocol = protocol or config.evaluation.protocol
        headline = protocol if protocol in config.evaluation.groups else ALL
        groups = {headline: metrics}
        draws = dict(zip([headline], draws.values(), strict=False))
    _check_draws(draws, groups, path)
    groups = {group: _without_intervals(values) for group, values in groups.items()}
    evaluated_set = read_evaluated_set({**metrics, "groups": groups}, path, config, protocol)
    own = {group: classes[group] for group in groups if group in classes}
    return _Scores(path, evaluated_set, metrics.get("num_images"), groups, draws, own, checkpoint, weights, settings)


def _without_intervals(metrics: dict[str, Any]) -> Metrics:
    kept = tuple(f"{kind}_" for kind in (*KINDS, BOUNDARY))
    return {name: value for name, value in metrics.items() if name.startswith(kept) or name == MAX_PREDICTIONS}


def _check_draws(draws: dict[str, Draws], groups: dict[str, Any], path: Path) -> None:
    """Refuse draws of another evaluation than the metrics."""
    for group, metrics in groups.items():
        recorded = metrics.get("intervals", {})
        for name, values in draws.get(group, {}).items():
            ends, found = recorded.get(name), interval(values)
            if (ends is None) != (found is None) or (found and not np.allclose(ends, found, atol=1e-3)):
                raise UserError(f"{path.parent / DRAWS_FILE}: is not of the same evaluation as {path}; evaluate again")


def _read_classes(provenance: Mapping[str, Any], path: Path, config: Config) -> dict[str, list[str]]:
    """Return the classes of each group from the file, or for older files from the configuration of the run."""
    if "groups" not in provenance:
        return resolve_groups(config.evaluation.groups)
    try:
        return msgspec.convert(provenance["groups"], dict[str, list[str]])
    except msgspec.ValidationError:
        raise UserError(f"{path}: provenance: does not name the classes of its groups; evaluate again") from None


def _check_same_set(scores: list[_Scores]) -> None:
    for other in scores[1:]:
        if other.test_set.key != scores[0].test_set.key:
            raise UserError(f"{other.path}: has another test set than {scores[0].path}; evaluate again")
        if not have_same_classes(other.classes, scores[0].classes):
            raise UserError(f"{other.path}: has groups of other classes than {scores[0].path}; evaluate again")
        if other.num_images != scores[0].num_images and None not in (other.num_images, scores[0].num_images):
            raise UserError(f"{other.path}: is of another number of images than {scores[0].path}; evaluate again")
        _check_same_weights(other.weights, str(other.path), scores[0].weights, str(scores[0].path))


def _check_same_checkpoints(experiments: list[Experiment]) -> None:
    """Refuse results of different trainings."""
    for other in experiments[1:]:
        places = [str(experiment.predictions.parent) for experiment in (other, experiments[0])]
        _check_same_weights(other.recorded_weights, places[0], experiments[0].recorded_weights, places[1])
        for position, pair in enumerate(zip(experiments[0].checkpoints, other.checkpoints, strict=True)):
            if all(pair) and pair[0] != pair[1]:
                raise UserError(
                    f"{places[0]}: has another checkpoint than {places[1]} (seed {other.seeds[position]}); "
                    "evaluate again"
                )


def _check_same_weights(one: str, path: str, other: str, other_path: str) -> None:
    """Refuse results of the student beside those of the teacher in one experiment."""
    if one and other and one != other:
        raise UserError(
            f"{path}: was made with the {one}'s weights, {other_path} with the {other}'s; "
            "evaluate both with the same --weights"
        )


def _merge(one: Experiment, other: Experiment) -> Experiment:
    """Join the results of two protocols that have the same test set."""
    _check_same_checkpoints([one, other])
    return replace(
        one,
        test_set=one.test_set if one.test_set.protocol else other.test_set,
        groups=other.groups | one.groups,
        classes=other.classes | one.classes,
        untrained=other.untrained | one.untrained,
        proposals=other.proposals | one.proposals,
        draws=other.draws | one.draws,
        reference_draws={
            reference: other.reference_draws.get(reference, {}) | one.reference_draws.get(reference, {})
            for reference in REFERENCES
        },
    )
