"""How much of the photos' metrics a detector keeps in renderings, with error bars over images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vclr.catalog.metrics import BOUNDARY, KINDS, f1_names
from vclr.coco.annotations import Json
from vclr.evaluation.intervals import Draws, describe_intervals, interval
from vclr.evaluation.tally import Metrics

SCORE_THRESHOLDS = {f1_names(kind)[1] for kind in (*KINDS, BOUNDARY)}  # scores, whose ratio says nothing


class Measured(NamedTuple):
    """The metrics of a group of classes in one rendering, and their bootstrap draws."""

    metrics: Metrics
    draws: Draws


def ratios(rendering: Measured, photos: Measured) -> Json:
    """Return the `ratio` of each metric to the photos', and `ratio_intervals` with its 95 % interval.

    In each draw, the images of both are the same.
    """
    drawn = divide_draws(rendering.draws, photos.draws)
    return {"ratio": divide(rendering.metrics, photos.metrics), "ratio_intervals": describe_intervals(drawn)}


def mean_ratio(renderings: Sequence[Measured], photos: Measured, metric: str) -> Json:
    """Return the `mean_ratio` of a metric over renderings, and its 95 % `interval`.

    Both are None without renderings, or if a ratio is.
    """
    kept = [divide(one.metrics, photos.metrics).get(metric) for one in renderings]
    present = [ratio for ratio in kept if ratio is not None]
    if not kept or len(present) < len(kept):
        return {"mean_ratio": None, "interval": None}
    ends = interval(np.mean([divide_draws(one.draws, photos.draws)[metric] for one in renderings], axis=0))
    return {"mean_ratio": float(np.mean(present)), "interval": list(ends) if ends else None}


def divide(metrics: Mapping[str, float | None], photos: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return the ratio of each metric to the photos'; None if either was not measured, or the photos' is 0.

    `SCORE_THRESHOLDS` are left out.
    """
    kept = {}
    for name, value in metrics.items():
        if name not in SCORE_THRESHOLDS:
            natural = photos.get(name)
            kept[name] = value / natural if value is not None and natural else None
    return kept


def divide_draws(draws: Draws, photos: Draws) -> Draws:
    """Return the ratios in each draw without `SCORE_THRESHOLDS`; NaN if the photos' is 0 or was not measured."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            name: np.where(photos[name] > 0, values / photos[name], np.nan)
            for name, values in draws.items()
            if name in photos and name not in SCORE_THRESHOLDS
        }
