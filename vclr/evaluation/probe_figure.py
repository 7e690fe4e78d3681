"""The picture of a probe: how much recall each rendering keeps, and how alike its queries are to the photos'."""

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
    views = list(content["renderings"])
    figure = Figure(figsize=(max(6.0, 2 + 1.1 * len(views)), 6.4), layout="constrained", dpi=DPI)
    recall, queries = figure.subplots(2, sharex=True, height_ratios=(3, 2))
    _draw_recall(recall, content)
    _draw_queries(queries, content)
    queries.set_xticks(range(len(views)), [view.replace("_", "\n") for view in views])
    for axes in (recall, queries):
        _style(axes, views)
    if set(views) & set(CONTROLS):
        place = {"transform": recall.get_xaxis_transform(), "ha": "right", "va": "top"}
        recall.text(len(views) - 0.55, 0.98, "control:\nshapes taken apart", fontsize=8, **place)
    figure.suptitle("What the detector keeps when appearance changes", fontsize=12)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _draw_recall(axes: Axes, content: Mapping[str, Any]) -> None:
    headline, renderings = content["headline"], content["renderings"]
    shares: list[Points] = []
    for number, (group, photos) in enumerate(renderings[NATURAL]["groups"].items()):
        natural = photos["metrics"].get(headline)
        label = f"{group} (photos: {natural:.1f})" if natural is not None else f"{group} (not measured)"
        shares.append([(_share(rendering["groups"][group], headline), None) for rendering in renderings.values()])
        _draw_line(axes, list(renderings), shares[-1], number, label)
    _label_points(axes, shares[:MAX_LABELED])
    axes.axhline(100, color="#555555", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.set_ylabel(f"{headline}, % of the photos'")
    axes.margins(y=0.2)
    axes.set_ylim(bottom=-0.12 * axes.get_ylim()[1])


def _draw_queries(axes: Axes, content: Mapping[str, Any]) -> None:
    renderings = content["renderings"]
    for number, group in enumerate(renderings[NATURAL]["groups"]):
        found = [rendering["groups"][group]["queries"] or {} for rendering in renderings.values()]
        points = [(one.get("mean_cosine"), one.get("standard_error")) for one in found]
        _draw_line(axes, list(renderings), points, number)
        others = content["different_objects"][group]["mean_cosine"]
        if others is not None:
            label = "" if number else "different objects of a photo"
            axes.axhline(others, color=COLORS[number % len(COLORS)], linewidth=1.2, linestyle=":", label=label)
    axes.set_ylabel("cosine of an object's queries\nin rendering and photo")
    axes.margins(y=0.2)


def _share(result: Mapping[str, Any], headline: str) -> float | None:
    """Return the headline in percent of the photos'."""
    if result["ratio"] is None:  # the photos themselves
        return 100.0 if result["metrics"].get(headline) else None
    ratio = result["ratio"].get(headline)
    return None if ratio is None else 100 * float(ratio)


def _draw_line(axes: Axes, views: Sequence[str], points: Points, number: int, label: str = "") -> None:
    """Draw a group's values, joined from view to view but not to the controls, with their errors."""
    color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
    values = np.array([np.nan if value is None else value for value, _ in points])
    errors = np.array([error or 0.0 for _, error in points])
    places = np.arange(len(views)) + (0.08 * number if errors.any() else 0.0)  # errors beside each other, not on top
    joined = np.array([view not in CONTROLS for view in views])
    axes.plot(places[joined], values[joined], color=color, linewidth=1.6)
    axes.plot(places, values, marker, color=color, markersize=6, label=label)
    axes.errorbar(places, values, yerr=errors, fmt="none", ecolor=color, capsize=3)


def _label_points(axes: Axes, shares: Sequence[Points]) -> None:
    """Write each value beside its point: the highest of a rendering above it, the other below."""
    for place, found in enumerate(zip(*shares, strict=True)):
        values = [(value, number) for number, (value, _) in enumerate(found) if value is not None]
        for rank, (value, number) in enumerate(sorted(values, reverse=True)):
            offset = (0, 8) if rank == 0 else (0, -17)  # points
            style: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "color": COLORS[number]}
            if place:  # the photos are 100 by definition
                axes.annotate(f"{value:.0f}", (place, value), offset, **style)


def _style(axes: Axes, views: Sequence[str]) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlim(-0.5, len(views) - 0.5)
    for place, view in enumerate(views):
        if view in CONTROLS:
            axes.axvspan(place - 0.5, place + 0.5, color="#000000", alpha=0.07, linewidth=0)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=9, loc="best")
