"""Many runs in one table, the best first."""

from __future__ import annotations

from typing import Any

from vclr.report.comparison import paired_interval, shown_difference
from vclr.report.differences import differing_settings, format_setting
from vclr.report.experiments import Experiment, groups_of, main_metric, target_group
from vclr.report.findings import format_interval
from vclr.report.study import format_result, markdown_table
from vclr.wording import count_of

MAX_SETTINGS = 3  # of a run that are named


def describe_ranking(runs: list[Experiment]) -> list[str]:
    """Return the lines of a table of runs on one test set, sorted by the headline of the target group.

    Beside the results: how far the run is from the first one that was named, and its settings that differ from that
    one's.
    """
    metric, target, first = main_metric(runs), target_group(runs), runs[0]
    groups = [target, *(group for group in groups_of(runs) if group != target)]

    def rank(run: Experiment) -> float:
        mean = run.mean(target, metric)
        return float("inf") if mean is None else -mean

    header = ["run", *(f"{group} `{metric}`" for group in groups), "minus the first", "settings"]
    rows = []
    for run in sorted(runs, key=rank):
        results = [format_result(run, group, metric) for group in groups]
        own = ["the first", "–"] if run is first else [_format(run, first, target, metric), _settings(run, first)]
        rows.append([run.name, *results, *own])
    said = f"{count_of(len(runs), 'run')}, the best on the group `{target}` first; the first one named: {first.name}."
    return [said, "", *markdown_table(header, rows), ""]


def _format(run: Experiment, first: Experiment, group: str, metric: str) -> str:
    a, b = run.values(group, metric), first.values(group, metric)
    if not a or not b:
        return "–"
    found = format_interval(paired_interval(run, first, group, metric), "+.1f")
    return f"{shown_difference(a, b):+.1f} {found}".rstrip()


def _settings(run: Experiment, first: Experiment) -> str:
    """Name the first few settings that differ, with the run's own values, and count the others."""
    if not (run.is_configured and first.is_configured):
        return "not known"
    found: dict[str, list[Any]] = differing_settings(run, first)
    named = [f"{key} {format_setting(own)}" for key, (own, _) in [*found.items()][:MAX_SETTINGS]]
    left_out = len(found) - len(named)
    return "; ".join([*named, *([f"{left_out} more"] if left_out else [])]) or "the same"
