"""The comparison of runs with the first one: results, differences with error bars and tests, settings, data, code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vclr.catalog.metrics import SHOWN_METRICS
from vclr.coco.annotations import Json
from vclr.report.code_differences import code_differences, data_differences, describe_code, describe_data
from vclr.report.comparison import paired_interval, shown_difference
from vclr.report.differences import describe_differences, differing_settings
from vclr.report.experiments import Experiment, by_test_set, target_group, trainings
from vclr.report.findings import evidence, format_interval, format_p
from vclr.report.join_seeds import on_shared_seeds
from vclr.report.named_runs import read_named
from vclr.report.paired_test import PairedResult, paired_test
from vclr.report.ranking import describe_ranking
from vclr.report.study import OVER_IMAGES, markdown_results, markdown_table, shown_metrics

MANY = 12  # runs of a test set beyond which they are ranked in one table
SPREAD = "± is the standard deviation over seeds."


@dataclass(frozen=True)
class Difference:
    """A metric of a run minus that of the first one.

    Attributes:
        value: the difference of the means over the seeds.
        shown: the difference of these means as they are shown.
        interval: the 95 % interval over images, if it is known.
        test: the paired test over the seeds that both have; None for fewer than two.
    """

    value: float
    shown: float
    interval: tuple[float, float] | None
    test: PairedResult | None


def read_runs(names: Sequence[str], uri: str) -> tuple[dict[str, list[Experiment]], list[str]]:
    """Read the runs to compare.

    Args:
        names: as of `read_named`, which says what is raised, too.
        uri: the store.

    Returns:
        For each test set its title and the runs that were evaluated on it; and notes on what was left out.
    """
    found, notes = read_named(names, uri)
    return by_test_set(found), notes


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
    a, b = run.mean(group, metric), first.mean(group, metric)
    if a is None or b is None:
        return None
    pairs = [one.values(group, metric) for one in on_shared_seeds(run, first)]
    test = paired_test(*pairs) if len(pairs[0]) > 1 else None
    shown = shown_difference(run.values(group, metric), first.values(group, metric))
    return Difference(a - b, shown, paired_interval(run, first, group, metric), test)


def _settings(run: Experiment, first: Experiment) -> dict[str, list[Any]] | None:
    return differing_settings(run, first) if run.is_configured and first.is_configured else None


def describe_runs(by_set: dict[str, list[Experiment]], notes: Sequence[str] = ()) -> str:
    """Write the comparison as Markdown, which reads well in a terminal, too."""
    everything = [run for runs in by_set.values() for run in runs]
    most = max(len(run.seeds) for run in everything)
    lines = [" ".join(["In percent.", *[SPREAD] * (most > 1), OVER_IMAGES]), ""]
    if len(by_set) > 1:
        lines += ["The runs have several test sets; runs are compared only on the same one.", ""]
    for title, runs in by_set.items():
        lines += [f"On {title}:", ""]
        lines += describe_ranking(runs) if len(runs) > MANY else [*markdown_results(runs), "", *_describe(runs)]
    first, *others = trainings(everything)
    if len(others) < MANY:
        for other in others:
            lines += [f"{other.name}, data: {describe_data(other, first)}", ""]
        for other in others:
            said, *more = describe_code(other, first)
            lines += [f"{other.name}, code: {said}", *more, ""]
    if not all(run.draws for run in everything):
        lines += ["Intervals of differences need the draws of `vclr evaluate`; name the folders of results.", ""]
    return "\n".join([*lines, *(line for note in notes for line in (note, "")), evidence(most)])


def _describe(runs: list[Experiment]) -> list[str]:
    first, *others = runs
    if not others:
        return ["No other run has this test set.", ""]
    shown, rows, found = shown_metrics(runs), [], differences_to_first(runs)
    for other in others:
        both = [metric for metric in shown if other.shows(metric) and first.shows(metric)]
        for group, differences in found[other.name].items():
            cells = (_format(differences.get(metric) if metric in both else None) for metric in shown)
            rows.append([other.name, group, *cells])
    lines = [f"Minus {first.name}, with the same images drawn for both:", ""]
    lines += [*markdown_table(["run", "group", *(f"`{metric}`" for metric in shown)], rows), ""]
    lines += _describe_tests(runs, found, shown)
    for other in others:
        settings = _settings(other, first)
        said = "The settings are not known." if settings is None else describe_differences(settings)
        lines += [f"{other.name}: {said}", ""]
    return lines


def _describe_tests(
    runs: list[Experiment], found: dict[str, dict[str, dict[str, Difference]]], shown: list[str]
) -> list[str]:
    """Return a table of the tests over the seeds on the target group; empty if no two runs share two seeds."""
    rows = []
    for name, groups in found.items():
        for metric, difference in groups.get(target_group(runs), {}).items():
            test = difference.test
            if metric in shown and test is not None and test.low is not None and test.high is not None:
                cells = [f"{test.mean_difference:+.1f}", f"{test.low:+.1f} to {test.high:+.1f}"]
                cells += [format_p(test.p_t), format_p(test.p_permutation)]
                rows.append([name, f"`{metric}`", str(test.num_pairs), *cells])
    if not rows:
        return []
    header = ["run", "metric", "seeds", "difference", "95 % interval", "p, t test", "p, sign flips"]
    title = f"Minus {runs[0].name} on the group `{target_group(runs)}`, paired by seed:"
    return [title, "", *markdown_table(header, rows), ""]


def _format(difference: Difference | None) -> str:
    if difference is None:
        return "–"
    return f"{difference.shown:+.1f} {format_interval(difference.interval, '+.1f')}".rstrip()


def summarize_runs(by_set: dict[str, list[Experiment]], notes: Sequence[str] = ()) -> Json:
    """Return the comparison as json.

    For each test set the results, differences to the first run, and settings; for each run the data and the code that
    differ from those of the first one.
    """
    first, *others = trainings(run for runs in by_set.values() for run in runs)
    return {
        "test_sets": {title: _summarize_set(runs) for title, runs in by_set.items()},
        "data": {other.name: data_differences(other, first) for other in others},
        "code": {other.name: code_differences(other, first) for other in others},
        "notes": [*notes],
    }


def _summarize_set(runs: list[Experiment]) -> Json:
    return {
        "runs": {run.name: {group: _summarize_group(run, group) for group in run.groups} for run in runs},
        "seeds": {run.name: run.seeds for run in runs},
        "first": runs[0].name,
        "differences": {
            name: {
                group: {metric: _summarize_difference(one) for metric, one in metrics.items()}
                for group, metrics in groups.items()
            }
            for name, groups in differences_to_first(runs).items()
        },
        "settings": {run.name: _settings(run, runs[0]) for run in runs[1:]},
    }


def _summarize_difference(one: Difference) -> Json:
    return {"value": one.value, "interval": one.interval, "over_seeds": asdict(one.test) if one.test else None}


def _summarize_group(run: Experiment, group: str) -> Json:
    return {
        metric: {
            "value": run.mean(group, metric),
            "values": values,
            "standard_deviation": run.spread(group, metric),
            "interval": run.over_images(group, metric),
        }
        for metric in SHOWN_METRICS
        if (values := run.values(group, metric))
    }
