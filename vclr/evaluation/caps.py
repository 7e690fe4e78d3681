"""Recall that says nothing, because no image has that many predictions, and how it is left out of texts.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from vclr.catalog.metrics import BOUNDARY_HEADLINE, FEWEST, MAX_PREDICTIONS, PRINTED_METRICS, detections_of


def fewest_shown(counts: Iterable[int]) -> int:
    """Return the number of detections at which recall is always shown: the smallest of at least `FEWEST`."""
    return min((count for count in counts if count >= FEWEST), default=FEWEST)


def capped_counts(counts: Iterable[int], max_predictions: int | None) -> list[int]:
    """List the numbers of detections at which recall equals recall at the next smaller one.

    That is so if no image has more predictions than the smaller one.

    Args:
        counts: the numbers at which recall was measured.
        max_predictions: the largest number of predictions for an image; None if it is not known.
    """
    if not max_predictions:  # if nothing was found, no cap is the reason
        return []
    return [count for fewer, count in pairwise(sorted({*counts})) if max_predictions <= fewer]


def capped(metrics: Mapping[str, Any]) -> list[int]:
    """List the numbers of detections at which recall is not shown, because a cap makes it meaningless."""
    counts = {count for name in metrics if (count := detections_of(name))}
    return [count for count in capped_counts(counts, metrics.get(MAX_PREDICTIONS)) if count > fewest_shown(counts)]


def describe_cap(max_predictions: int, counts: Sequence[int], says: str = "is left out", per: str = "image") -> str:
    """Say why recall at some numbers of detections is left out."""
    *others, last = map(str, counts)
    named = f"{', '.join(others)} and {last}" if others else last
    predictions = "1 prediction" if max_predictions == 1 else f"{max_predictions} predictions"
    return f"at most {predictions} per {per}, so recall at {named} {says}"


def format_metrics(metrics: Mapping[str, Any]) -> str:
    """Write the printed metrics as a line; if a cap makes some of them meaningless, say so instead."""
    counts = [count for count in capped(metrics) if count in map(detections_of, PRINTED_METRICS)]
    printed = [name for name in PRINTED_METRICS if name in metrics or name != BOUNDARY_HEADLINE]
    values = {name: None if detections_of(name) in counts else metrics.get(name) for name in printed}
    line = ", ".join(f"{name} -" if value is None else f"{name} {value:.1f}" for name, value in values.items())
    return line + (f" ({describe_cap(metrics[MAX_PREDICTIONS], counts)})" if counts else "")
