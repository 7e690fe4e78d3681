"""The study: how experiments compare over several seeds, with paired tests, written down."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from vclr.catalog.classes import KNOWN, NOVEL
from vclr.catalog.metrics import BOUNDARY_HEADLINE, BOX_HEADLINE, MAX_PREDICTIONS
from vclr.evaluation.intervals import interval
from vclr.files import atomic_path, write_json
from vclr.report.comparison import Comparison, Pairs, check_pairs, compare, shown_difference, warn_of_apart
from vclr.report.differences import describe_differences, differences, shown_differences
from vclr.report.experiments import (
    Experiment,
    by_test_set,
    describe_caps,
    groups_of,
    headline_of,
    main_metric,
    provenance,
    shown_columns,
    target_group,
    trainings,
)
from vclr.report.findings import evidence, format_interval, format_p
from vclr.report.read_experiments import read_experiments
from vclr.tracking.results import store_report
from vclr.wording import count_of

OVER_IMAGES = "In brackets: the 95 % interval if the images of the test set are drawn again (bootstrap)."


def write_study(
    experiments: list[str], seeds: list[int], runs: Path, results: Path, output: Path, pairs: Pairs = ()
) -> None:
    """Write `output/study.json` and `output/study.md`: means and spread over the seeds, paired tests, configuration.

    If the experiments were evaluated on several test sets, they are compared on each separately, and study.json holds
    the comparisons in `test_sets` by the name of the test set. The arguments are those of `write_report`.
    """
    check_pairs(pairs, experiments)
    read = read_experiments(experiments, seeds, runs, results)
    compared = by_test_set(read)
    warn_of_apart(pairs, compared)
    sets = {title: _describe_set(on_it, pairs) for title, on_it in compared.items()}
    study = {
        "seeds": seeds,
        **(next(iter(sets.values())) if len(sets) == 1 else {"test_sets": sets}),
        "configuration": differences(read),
        "environment": read[0].environment,
    }
    write_json(Path(output) / "study.json", study, indent=1)
    with atomic_path(Path(output) / "study.md") as partial:
        partial.write_text(summarize_study(read, pairs), encoding="utf-8")
    tracked = [folder for one in trainings(read) for folder in one.runs]
    store_report(tracked, [Path(output) / "study.md", Path(output) / "study.json"])


def _describe_set(experiments: list[Experiment], pairs: Pairs) -> dict[str, Any]:
    comparisons = compare(experiments, pairs)
    return {
        "target": target_group(experiments),
        "experiments": {experiment.name: _describe(experiment) for experiment in experiments},
        "comparison": {
            pair: {
                metric: asdict(test) | {"over_images": comparison.over_images.get(metric)}
                for metric, test in comparison.results.items()
            }
            for pair, comparison in comparisons.items()
        },
        "differences": {pair: comparison.differences for pair, comparison in comparisons.items()},
        "further_differences": {pair: comparison.further for pair, comparison in comparisons.items()},
    }


def _describe(experiment: Experiment) -> dict[str, Any]:
    """Return an experiment's metrics seed by seed, with mean and standard deviation."""
    described: dict[str, Any] = {"views": experiment.views, "consistency": experiment.consistency}
    described |= {"iterations": max(experiment.iterations), "weights": experiment.weights, "groups": {}}
    for group, seeds in experiment.groups.items():
        described["groups"][group] = {
            metric: {
                "values": experiment.values(group, metric),
                "mean": experiment.mean(group, metric),
                "standard_deviation": experiment.spread(group, metric),
                "over_images": experiment.over_images(group, metric),
            }
            for metric in seeds[0]
            if metric != MAX_PREDICTIONS
        }
    return described


def summarize_study(experiments: list[Experiment], pairs: Pairs = ()) -> str:
    """Write the study as Markdown: results, paired comparisons, what differs in the configuration, code and machine."""
    count = len(experiments[0].seeds)
    explained = f" {OVER_IMAGES}" if any(any(seeds) for one in experiments for seeds in one.draws.values()) else ""
    lines = [f"Mean ± standard deviation over {count_of(count, 'seed')}, in percent.{explained}", ""]
    sets = by_test_set(experiments)
    for title, compared in sets.items():
        lines += [f"## {title}", ""] if len(sets) > 1 else []
        lines += _summarize_set(compared, pairs)
    changed = shown_differences(experiments)
    if changed:
        cells = [[f"`{key}`", *row] for key, row in changed.items()]
        lines += ["Settings that differ:", ""]
        lines += [*markdown_table(["setting", *(training.name for training in trainings(experiments))], cells), ""]
    facts = [f"{name} {value}" for name, value in provenance(experiments[0].environment).items()]
    lines += [f"Code and machine: {'; '.join(facts) or 'not recorded'}."]
    return "\n".join(lines) + "\n"


def _summarize_set(experiments: list[Experiment], pairs: Pairs) -> list[str]:
    """Write the results on one test set, and the comparisons if there are any."""
    lines = [*markdown_results(experiments), ""]
    comparisons = compare(experiments, pairs)
    if comparisons:
        lines += [f"Differences on the group `{target_group(experiments)}`, paired by seed:", ""]
        header = ["pair", "metric", "difference", "95 % interval", "p, t test", "p, sign flips"]
        has_draws = any(one.over_images for one in comparisons.values())
        header += ["95 % over images"] * has_draws
        shown = shown_metrics(experiments)
        cells = [row for pair, one in comparisons.items() for row in _test_rows(pair, one, shown, has_draws)]
        lines += [*markdown_table(header, cells), ""]
        for pair, comparison in comparisons.items():
            lines += [f"{pair}: {describe_differences(comparison.differences, mark='`')}", ""]
        lines += [evidence(len(experiments[0].seeds)), ""]
    return lines


def _test_rows(pair: str, comparison: Comparison, shown: list[str], has_draws: bool) -> list[list[str]]:
    """Return a row per metric that both show; a difference agrees with the means if they are shown."""
    rows = []
    for metric, test in comparison.results.items():
        if not (comparison.first.shows(metric) and comparison.second.shows(metric)):
            continue
        difference = comparison.shown(metric) if metric in shown else test.mean_difference
        over_seeds = "–" if test.low is None else f"{test.low:+.1f} to {test.high:+.1f}"
        tests = [format_p(test.p_t), format_p(test.p_permutation)]
        tests += [format_interval(comparison.over_images.get(metric), "+.1f") or "–"] * has_draws
        rows.append([pair, f"`{metric}`", f"{difference:+.1f}", over_seeds, *tests])
    return rows


def shown_metrics(experiments: list[Experiment]) -> list[str]:
    """List the metrics of a table of results."""
    return shown_columns(experiments, (headline_of(experiments), BOX_HEADLINE, BOUNDARY_HEADLINE))


def markdown_results(experiments: list[Experiment]) -> list[str]:
    """Return the lines of a Markdown table of what experiments reached on one test set, and of what it leaves out."""
    groups, shown, metric = groups_of(experiments), shown_metrics(experiments), main_metric(experiments)
    has_gap = any(experiment.gaps(metric) for experiment in experiments)
    gap = "gap" if metric == shown[0] else f"gap in `{metric}`"
    header = ["experiment", *(f"{group} `{name}`" for group in groups for name in shown)] + [gap] * has_gap
    rows = []
    for experiment in experiments:
        row = [experiment.name]
        row += [format_result(experiment, group, name) for group in groups for name in shown]
        rows.append(row + [format_gap(experiment, metric)] * has_gap)
    caps = describe_caps(experiments, (headline_of(experiments), BOX_HEADLINE))
    return [*markdown_table(header, rows), *[line for said in caps for line in ("", said)]]


def markdown_table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a Markdown table, its first column to the left, the others to the right."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]


def format_values(values: list[float]) -> str:
    """Write the mean of some values, with its standard deviation if there are several."""
    return _format_mean(float(np.mean(values)), values) if values else "–"


def format_result(experiment: Experiment, group: str, metric: str) -> str:
    """Write what an experiment reached, with all its error bars: `47.6 ± 0.4 [45.1, 50.0]`."""
    if not experiment.shows(metric):
        return "–"
    found = format_interval(experiment.over_images(group, metric))
    return f"{format_values(experiment.values(group, metric))} {found}".rstrip()


def format_gap(experiment: Experiment, metric: str) -> str:
    """Write how far novel classes lie below known ones: the difference of the means that are shown, and error bars."""
    gaps = experiment.gaps(metric)
    if not gaps:
        return "–"
    shown = shown_difference(*(experiment.values(group, metric) for group in (KNOWN, NOVEL)))
    known, novel = (experiment.drawn(group, metric) for group in (KNOWN, NOVEL))
    found = None if known is None or novel is None else interval(known - novel)
    return f"{_format_mean(shown, gaps)} {format_interval(found)}".rstrip()


def _format_mean(mean: float, values: list[float]) -> str:
    return f"{mean:.1f} ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else f"{mean:.1f}"
