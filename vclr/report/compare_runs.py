"""The comparison of single runs in a terminal: results, differences with error bars, and differing settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vclr.catalog.metrics import SHOWN_METRICS
from vclr.coco.annotations import Json
from vclr.errors import UsageError, UserError
from vclr.files import read_json
from vclr.report.comparison import paired_interval, shown_difference
from vclr.report.differences import describe_differences, differing_settings
from vclr.report.experiments import Experiment, by_test_set
from vclr.report.findings import evidence, format_interval
from vclr.report.read_experiments import protocols_in, read_results
from vclr.report.study import OVER_IMAGES, markdown_results, markdown_table, over_images, shown_metrics


@dataclass(frozen=True)
class Difference:
    """A metric of a run minus that of the first one; `interval` is the 95 % interval over images, if it is known."""

    value: float
    shown: float
    interval: tuple[float, float] | None


def read_runs(folders: Sequence[Path]) -> dict[str, list[Experiment]]:
    """Read runs, each a folder of results or a run folder whose results are in the folder of the same name.

    Returns:
        For each test set its title and the runs that were evaluated on it, named by their folders.

    Raises:
        UsageError: there are fewer than two folders, one is named twice, or one has no results.
        UserError: a file is damaged.
    """
    if len(folders) < 2:
        raise UsageError("compare: name at least two runs")
    for position, folder in enumerate(folders):
        if folder.resolve() in [other.resolve() for other in folders[:position]]:
            raise UsageError(f"compare: {folder} is named twice; name each run once")
    return by_test_set([one for folder in folders for one in read_results(str(folder), *_find(folder))])


def _find(folder: Path) -> tuple[Path, Path | None]:
    """Return the folder of a run's results, and its run folder if it is known."""
    is_run = (folder / "config.yaml").is_file()
    results = folder
    if is_run and not _metrics_in(folder):
        results = _beside_runs(folder)
    files = _metrics_in(results)
    if not files:
        looked = f"{folder} and {results}" if results != folder else str(folder)
        within = next((f", such as {one}" for one in sorted(results.glob("*")) if protocols_in(one)), "")
        raise UsageError(f"compare: no metrics.json in {looked}; name a folder that `vclr evaluate` wrote{within}")
    return results, folder if is_run else _run_of(files[0])


def _beside_runs(run: Path) -> Path:
    """Return the folder in `results` that has the name of a run in `runs`."""
    parts = [*run.parts]
    if "runs" in parts:
        parts[-1 - parts[::-1].index("runs")] = "results"
    return Path(*parts)


def _metrics_in(folder: Path) -> list[Path]:
    return [folder / protocol / "metrics.json" for protocol in protocols_in(folder)]


def _run_of(metrics: Path) -> Path | None:
    """Return the run folder of the checkpoint that was evaluated, if it is still there."""
    content = read_json(metrics)
    said = content.get("provenance") if isinstance(content, dict) else None
    if not isinstance(said, dict):
        raise UserError(f"{metrics}: does not say what was evaluated; evaluate again, or name the run folder")
    checkpoint = said.get("checkpoint")
    if not isinstance(checkpoint, dict):
        return None
    run = Path(str(checkpoint.get("path"))).parent.parent
    return run if (run / "config.yaml").is_file() else None


def differences_to_first(runs: list[Experiment]) -> dict[str, dict[str, dict[str, Difference]]]:
    """Return by run, group and metric how far each run is from the first one on a test set."""
    first, *others = runs
    return {
        other.name: {
            group: {metric: one for metric in SHOWN_METRICS if (one := _difference(other, first, group, metric))}
            for group in other.groups
            if group in first.groups
        }
        for other in others
    }


def _difference(run: Experiment, first: Experiment, group: str, metric: str) -> Difference | None:
    a, b = run.values(group, metric), first.values(group, metric)
    if not a or not b:
        return None
    return Difference(a[0] - b[0], shown_difference(a, b), paired_interval(run, first, group, metric))


def _settings(run: Experiment, first: Experiment) -> dict[str, list[Any]] | None:
    return differing_settings(run, first) if run.runs and first.runs else None


def describe_runs(by_set: dict[str, list[Experiment]]) -> str:
    """Write the comparison as text for a terminal."""
    lines = [f"In percent. {OVER_IMAGES}", ""]
    if len(by_set) > 1:
        lines += ["The runs have several test sets; runs are compared only on the same one.", ""]
    for title, runs in by_set.items():
        lines += [f"On {title}:", "", *markdown_results(runs), "", *_describe_differences(runs)]
    return "\n".join([*lines, evidence(num_seeds=1)])


def _describe_differences(runs: list[Experiment]) -> list[str]:
    first, *others = runs
    if not others:
        return ["No other run has this test set.", ""]
    shown, rows = shown_metrics(runs), []
    for other, groups in zip(others, differences_to_first(runs).values(), strict=True):
        both = [metric for metric in shown if other.shows(metric) and first.shows(metric)]
        for group, found in groups.items():
            cells = (_format(found.get(metric) if metric in both else None) for metric in shown)
            rows.append([other.name, group, *cells])
    lines = [f"Minus {first.name}, with the same images drawn for both:", ""]
    lines += [*markdown_table(["run", "group", *(f"`{metric}`" for metric in shown)], rows), ""]
    for other in others:
        settings = _settings(other, first)
        said = "The settings are not known." if settings is None else describe_differences(settings)
        lines += [f"{other.name}: {said}", ""]
    return lines


def _format(difference: Difference | None) -> str:
    if difference is None:
        return "–"
    return f"{difference.shown:+.1f} {format_interval(difference.interval, '+.1f')}".rstrip()


def summarize_runs(by_set: dict[str, list[Experiment]]) -> Json:
    """Return the comparison as json: for each test set the results, differences to the first run, and settings."""
    return {"test_sets": {title: _summarize_set(runs) for title, runs in by_set.items()}}


def _summarize_set(runs: list[Experiment]) -> Json:
    found = differences_to_first(runs)
    return {
        "runs": {run.name: {group: _summarize_group(run, group) for group in run.groups} for run in runs},
        "first": runs[0].name,
        "differences": {
            name: {
                group: {metric: {"value": one.value, "interval": one.interval} for metric, one in metrics.items()}
                for group, metrics in groups.items()
            }
            for name, groups in found.items()
        },
        "settings": {run.name: _settings(run, runs[0]) for run in runs[1:]},
    }


def _summarize_group(run: Experiment, group: str) -> Json:
    return {
        metric: {"value": values[0], "interval": over_images(run, group, metric)}
        for metric in SHOWN_METRICS
        if (values := run.values(group, metric))
    }
