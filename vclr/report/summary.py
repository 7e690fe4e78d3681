"""The numbers of a report as `summary.json` holds them."""

from __future__ import annotations

from typing import Any

import numpy as np

from vclr.catalog.metrics import BOUNDARY_HEADLINE, TABLE_METRICS
from vclr.coco.annotations import Json
from vclr.report.comparison import Pairs, compare
from vclr.report.experiments import Experiment, by_test_set, headline_of


def summarize(experiments: list[Experiment], pairs: Pairs = ()) -> Json:
    """Return what `summary.json` holds: means over the seeds, gaps, the references, the comparisons.

    It has only the main metrics, because DVC shows and compares this file. With several test sets, it holds all of that
    in `test_sets`, by the name of the test set.
    """
    sets = {title: _summarize_set(compared, pairs) for title, compared in by_test_set(experiments).items()}
    rounded: Json = _shorten(next(iter(sets.values())) if len(sets) == 1 else {"test_sets": sets})
    return rounded


def _summarize_set(experiments: list[Experiment], pairs: Pairs) -> Json:
    metric = headline_of(experiments)
    has_boundary = any(one.measures(BOUNDARY_HEADLINE) for one in experiments)
    names = [name for name in TABLE_METRICS if has_boundary or name != BOUNDARY_HEADLINE]
    summary: Json = {"experiments": {}, "untrained": {}, "proposals": {}, "comparison": {}}
    for experiment in experiments:
        means: Json = {group: {name: experiment.mean(group, name) for name in names} for group in experiment.groups}
        gaps = experiment.gaps(metric)
        means |= {"gap": float(np.mean(gaps)) if gaps else None, "seeds": len(experiment.seeds)}
        summary["experiments"][experiment.name] = means
        for reference in ("untrained", "proposals"):
            for group, metrics in getattr(experiment, reference).items():
                summary[reference][group] = {name: metrics.get(name) for name in names}
    for pair, comparison in compare(experiments, pairs).items():
        results = comparison.results
        summary["comparison"][pair] = {name: results[name].mean_difference for name in names if name in results}
    return summary


def _shorten(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shorten(entry) for key, entry in value.items()}
    return round(value, 2) if isinstance(value, float) else value
