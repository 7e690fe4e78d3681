"""The report's table of results on one test set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vclr.catalog.classes import KNOWN, NOVEL
from vclr.catalog.metrics import TABLE_METRICS
from vclr.coco.annotations import Json
from vclr.config import CriterionConfig, ModelConfig
from vclr.report.comparison import shown_difference, shown_mean
from vclr.report.experiments import Experiment, describe_caps, groups_of, main_metric, shown_columns, target_group
from vclr.report.history import training_minutes
from vclr.report.study import format_gap, format_result, format_values


def results_table(experiments: list[Experiment], histories: dict[str, list[list[dict[str, Any]]]]) -> Json:
    """Build the table of results of experiments on one test set.

    Returns:
        `groups` and `metrics` for the heading; `has_gap`; `has_floor`, which tells whether an untrained model was
        evaluated; `rows` with name, settings and cells, each a text and whether it is the best of its column;
        `has_intervals`, which tells whether cells have intervals over images; `references` with name and cells of what
        was not trained; `main` for the metric of the gap; `caps`, which says what is left out.
    """
    groups, metric = groups_of(experiments), main_metric(experiments)
    metrics = shown_columns(experiments, TABLE_METRICS)
    cells = [
        _mark_best([_result(experiment, group, name) for experiment in experiments], max)
        for group in groups
        for name in metrics
    ]
    has_gap = any(experiment.gaps(metric) for experiment in experiments)
    if has_gap:
        gaps = [(format_gap(experiment, metric), _shown_gap(experiment, metric)) for experiment in experiments]
        cells.append(_mark_best(gaps, min))
    floors = [_untrained_model(experiment, experiments) for experiment in experiments]
    target = target_group(experiments)
    rows = [
        {
            "name": experiment.name,
            "views": ", ".join(experiment.views),
            "consistency": f"{experiment.consistency:g}",
            "iterations": " to ".join(map(str, sorted({min(experiment.iterations), max(experiment.iterations)}))),
            "cells": [column[number] for column in cells],
            "above": _above(experiment.values(target, metric), floors[number].get(target, {}).get(metric)),
            "minutes": format_values([training_minutes(history) for history in histories[experiment.name]]),
        }
        for number, experiment in enumerate(experiments)
    ]
    untrained = [experiment for experiment in experiments if experiment.untrained]
    references = [
        one.reference("untrained", f"{one.name}, untrained" if len(untrained) > 1 else "untrained") for one in untrained
    ]
    with_proposals = next((one for one in experiments if one.proposals), None)
    references += [with_proposals.reference("proposals", "object proposals")] if with_proposals else []
    return {
        "groups": groups,
        "metrics": metrics,
        "main": metric,
        "caps": describe_caps([*experiments, *references], TABLE_METRICS),
        "target": target,
        "has_gap": has_gap,
        "has_floor": any(floors),
        "has_intervals": any("[" in text for column in cells for text, _ in column),
        "rows": rows,
        "references": [
            (one.name, [format_result(one, group, name) for group in groups for name in metrics]) for one in references
        ],
    }


def _result(experiment: Experiment, group: str, metric: str) -> tuple[str, float | None]:
    values = experiment.values(group, metric) if experiment.shows(metric) else []
    return format_result(experiment, group, metric), shown_mean(values) if values else None


def _shown_gap(experiment: Experiment, metric: str) -> float | None:
    known, novel = (experiment.values(group, metric) for group in (KNOWN, NOVEL))
    return shown_difference(known, novel) if known and novel else None


def _mark_best(column: list[tuple[str, float | None]], best: Any) -> list[tuple[str, bool]]:
    """Return each text of a column, and whether its value is the best one as far as the shown digit tells."""
    present = [value for _, value in column if value is not None]
    top = best(present) if len(set(present)) > 1 else None  # equal ones are not better than each other
    return [(text, value is not None and value == top) for text, value in column]


def _untrained_model(experiment: Experiment, experiments: list[Experiment]) -> dict[str, Any]:
    """Return the metrics of the untrained model: the experiment's own, or those of another with the same model."""
    same = (other for other in experiments if other.untrained and _model(other) == _model(experiment))
    return experiment.untrained or next((other.untrained for other in same), {})


def _model(experiment: Experiment) -> tuple[ModelConfig, str]:
    """Return the settings that the weights before training depend on."""
    own = replace(experiment.config.model, criterion=CriterionConfig())
    return own, experiment.config.train.init_checkpoint


def _above(values: list[float], floor: float | None) -> str:
    """Say how many points of recall training has added."""
    return f"{shown_difference(values, [floor]):+.1f}".replace("-", "−") if values and floor is not None else "–"
