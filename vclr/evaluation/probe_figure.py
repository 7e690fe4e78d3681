"""The picture of a probe: how much recall, and how much of the queries, each rendering leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vclr.catalog.views import CONTROLS, NATURAL

# Okabe and Ito's colors, which people with color blindness can tell apart; markers differ too.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
MARKERS = ("o", "s", "^", "D", "v", "P")
MAX_LABELED = 2  # groups whose points are labeled with their value; more would overlap
DPI = 144

Points = list[tuple[float | None, float | None]]  # value and error per rendering; None if there is none


def draw_probe(content: Mapping[str, Any]) -> np.ndarray:
    """Draw the content of probe.json: the headline relative to the photos, and the cosine of queries, per rendering.

    Returns:
        (h, w, 3) uint8.
    """
    renderings, headline = content["renderings"], content["headline"]
    views, groups = list(renderings), list(renderings[NATURAL]["groups"])
    figure = Figure(figsize=(max(6.0, 2 + 1.1 * len(views)), 6.4), layout="constrained", dpi=DPI)
    recall, queries = figure.subplots(2, sharex=True, height_ratios=(3, 2))
    for number, group in enumerate(groups):
        natural = renderings[NATURAL]["groups"][group]["metrics"].get(headline)
        label = f"{group} (photos: {natural:.1f})" if natural is not None else f"{group} (not measured)"
        found = [renderings[view]["groups"][group] for view in views]
        _draw_line(recall, views, [_share(one, headline) for one in found], number, "{:.0f}", label)
        _draw_line(queries, views, [_cosine(one) for one in found], number, "{:.2f}", "")
    recall.axhline(100, color="#555555", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    recall.set_ylim(bottom=0)
    recall.set_ylabel(f"{headline}, % of the photos'")
    recall.legend(frameon=False, fontsize=9, title=headline, title_fontsize=9)
    queries.set_ylabel("cosine of an object's queries\nin rendering and photo")
    queries.set_xticks(range(len(views)), [view.replace("_", "\n") for view in views])
    for axes in (recall, queries):
        _style(axes, views)
    figure.suptitle("What the detector keeps if only appearance changes", fontsize=12)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _share(result: Mapping[str, Any], headline: str) -> tuple[float | None, float | None]:
    if result["ratio"] is None:  # the photos themselves
        return (100.0 if result["metrics"].get(headline) else None), None
    ratio = result["ratio"].get(headline)
    return (None if ratio is None else 100 * ratio), None


def _cosine(result: Mapping[str, Any]) -> tuple[float | None, float | None]:
    queries = result["queries"] or {}
    return queries.get("mean_cosine"), queries.get("standard_error")


def _draw_line(axes: Axes, views: Sequence[str], points: Points, number: int, form: str, label: str) -> None:
    """Draw a group's values, joined from view to view but not to the controls, with their errors."""
    color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
    values = np.array([np.nan if value is None else value for value, _ in points])
    errors = np.array([error or 0.0 for _, error in points])
    places = np.arange(len(views))
    joined = np.array([view not in CONTROLS for view in views])
    axes.plot(places[joined], values[joined], color=color, linewidth=1.6)
    shift = (number - 0.5) * 0.06 if np.any(errors) else 0.0  # errors beside each other, not on top
    axes.errorbar(places + shift, values, yerr=errors, fmt=marker, color=color, capsize=3, markersize=6, label=label)
    if number >= MAX_LABELED:
        return
    for place, (view, (value, _)) in enumerate(zip(views, points, strict=True)):
        if value is not None and view != NATURAL:
            offset = (0, 9) if number == 0 else (0, -17)  # points; the first group's above, the second's below
            axes.annotate(
                form.format(value), (place, value), offset, textcoords="offset points", ha="center", color=color
            )


def _style(axes: Axes, views: Sequence[str]) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(y=0.2)
    axes.set_xlim(-0.5, len(views) - 0.5)
    controls = [place for place, view in enumerate(views) if view in CONTROLS]
    if controls:
        axes.axvspan(min(controls) - 0.5, max(controls) + 0.5, color="#000000", alpha=0.07, linewidth=0)
        axes.text(
            max(controls) + 0.45,
            0.97,
            "control:\nshapes taken apart",
            transform=axes.get_xaxis_transform(),
            ha="right",
            va="top",
            fontsize=8,
        )
