"""Runs of a store as experiments: what MLflow knows of their results, settings, data and code."""

from __future__ import annotations

import re

from vclr.catalog.classes import ALL, KNOWN, NOVEL
from vclr.catalog.metrics import SHOWN_METRICS
from vclr.config import Config, config_from_params
from vclr.evaluation.evaluated_set import EvaluatedSet
from vclr.evaluation.intervals import Interval
from vclr.evaluation.tally import Metrics
from vclr.report.experiments import Experiment
from vclr.tracking.description import NAMES_ONLY
from vclr.tracking.figures import RESULTS_KEY
from vclr.tracking.points import valid_key
from vclr.tracking.stored_runs import StoredRun

METRICS = {valid_key(metric): metric for metric in SHOWN_METRICS}
ENDS = ("low", "high")  # of the interval of a figure, as the names of two more figures
TEST_SET = re.compile(r"results\.(?P<name>.+)\.test_set")
EVALUATED = re.compile(r"(?P<annotations>.*) sha256 (?P<sha256>[0-9a-f]*)")


def stored_seed(run: StoredRun) -> int | None:
    """Return the seed of a run; None if it was not recorded."""
    text = run.tags.get("seed", run.params.get("train.seed", ""))
    return int(text) if text.isdigit() else None


def stored_experiments(run: StoredRun, name: str) -> list[Experiment]:
    """Return a run of a store as experiments of one seed, one per test set.

    The settings are those that the parameters hold, so they are not known if a parameter is not a setting of this
    version. Draws of the images are not stored, only the intervals of the headline.

    Args:
        run: the run.
        name: what to call it.
    """
    figures = _by_place(run.figures)
    evaluated = _test_sets(run)
    config = config_from_params({key: text for key, text in run.params.items() if not key.startswith(NAMES_ONLY)})
    return [
        Experiment(
            name,
            [stored_seed(run) or 0],
            config or Config(),
            evaluated_set,
            {group: [_metrics(values)] for group, values in groups.items()},
            environment=_environment(run),
            data_hashes={key.removeprefix("data."): text for key, text in run.tags.items() if key.startswith("data.")},
            intervals={group: _intervals(values) for group, values in groups.items()},
            is_configured=config is not None,
            recorded_weights=run.tags.get(f"results.{key}.weights", ""),
        )
        for (key, evaluated_set), groups in _by_test_set(figures, evaluated, config or Config()).items()
    ]


def _by_place(figures: dict[str, float]) -> dict[tuple[str, ...], dict[str, float]]:
    """Return figures by what lies between `results/` and the metric: (protocol, group), or one of them."""
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for key, value in figures.items():
        *place, metric = key.removeprefix(RESULTS_KEY).split("/")
        if metric in ENDS and place:
            *place, name = place
            metric = f"{name}/{metric}"
        if place and metric.partition("/")[0] in METRICS:
            found.setdefault(tuple(place), {})[metric] = value
    return found


def _test_sets(run: StoredRun) -> dict[str, EvaluatedSet]:
    """Return the test sets that the run's tags name, by protocol or group."""
    found = {}
    for key, text in run.tags.items():
        named, evaluated = TEST_SET.fullmatch(key), EVALUATED.fullmatch(text)
        if named and evaluated:
            found[named["name"]] = EvaluatedSet(evaluated["annotations"], evaluated["sha256"], "", named["name"])
    return found


def _by_test_set(
    figures: dict[tuple[str, ...], dict[str, float]], evaluated: dict[str, EvaluatedSet], config: Config
) -> dict[tuple[str, EvaluatedSet], dict[str, dict[str, float]]]:
    """Return figures by test set and group. The name of a protocol is that of the figures over all of its classes."""
    protocols = {place[0] for place in figures if len(place) > 1}
    single = [place[0] for place in figures if len(place) == 1 and place[0] not in protocols]
    # Without a protocol, or with one that is a group, the groups stand alone. A name that a tag has beside theirs is
    # that of a protocol without groups.
    groups = [name for name in single if name in (KNOWN, NOVEL, ALL, *config.evaluation.groups)]
    groups += [name for name in single if name not in groups and name not in evaluated]
    found: dict[tuple[str, EvaluatedSet], dict[str, dict[str, float]]] = {}
    for place, values in figures.items():
        if len(place) > 1:
            key, group = place[0], "/".join(place[1:])
        elif place[0] in groups:
            key, group = next((name for name in (*groups, ALL) if name in evaluated), ""), place[0]
        elif place[0] in protocols:
            continue  # all classes of a protocol whose groups are shown
        else:
            key, group = place[0], ALL
        known = evaluated.get(key) or EvaluatedSet(key, "", "", key)
        own = known if key not in (*groups, ALL) else EvaluatedSet(known.annotations, known.sha256, known.images)
        found.setdefault((key, own), {})[group] = values
    return found


def _metrics(values: dict[str, float]) -> Metrics:
    return {METRICS[name]: value for name, value in values.items() if name in METRICS}


def _intervals(values: dict[str, float]) -> dict[str, Interval]:
    pairs = {name: [values.get(f"{name}/{end}") for end in ENDS] for name in METRICS}
    return {METRICS[name]: (low, high) for name, (low, high) in pairs.items() if low is not None and high is not None}


def _environment(run: StoredRun) -> dict[str, str | bool]:
    named = {"git_revision": run.tags.get("git.revision", "")}
    dirty = {"git_dirty": run.tags["git.dirty"] == "True"} if "git.dirty" in run.tags else {}
    return {key: value for key, value in (named | dirty).items() if value != ""}
