"""The picture of a probe: how much recall each rendering keeps, and how alike its queries are to the photos'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from vclr.catalog.views import CONTROLS, NATURAL
from vclr.evaluation.probe_table import format_share, kept

# Okabe and Ito's colors, which people with color blindness can tell apart; markers differ too.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
MARKERS = ("o", "s", "^", "D", "v", "P")
MAX_LABELED = 2  # groups whose points are labeled with their value; more would overlap
DPI = 144

SHIFT = 0.08  # of a line from the next, so that their error bars are beside each other

Points = list[tuple[float, float, float]]  # value per rendering, and the ends of its error bar; NaN if there is none
NONE = (np.nan, np.nan, np.nan)


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
        place = {"transform": recall.get_xaxis_transform(), "ha": "right", "va": "bottom"}
        recall.text(len(views) - 0.5, 1.01, "control:\nshapes taken apart", fontsize=8, **place)
    figure.suptitle("What the detector keeps when appearance changes", fontsize=12)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])


def _draw_recall(axes: Axes, content: Mapping[str, Any]) -> None:
    headline, renderings = content["headline"], content["renderings"]
    shares: list[Points] = []
    for number, (group, photos) in enumerate(renderings[NATURAL]["groups"].items()):
        invariance, natural = content["appearance_invariance"]["groups"][group], photos["metrics"].get(headline)
        mean = format_share(invariance["mean_ratio"], invariance["interval"], unit=" %")
        label = f"{group}: {mean} (photos: {natural:.1f})" if natural is not None else f"{group}: not measured"
        shares.append([_share(rendering["groups"][group], headline) for rendering in renderings.values()])
        _draw_line(axes, list(renderings), shares[-1], number, label)
    _label_points(axes, shares)
    axes.axhline(100, color="#555555", linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.set_ylabel(f"{headline}, % of the photos'")
    axes.margins(y=0.2)
    axes.set_ylim(bottom=-0.12 * axes.get_ylim()[1])
    title = "appearance invariance: mean of the renderings\nexcept the control, with 95 % interval"
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "alignment": "left"}
    axes.legend(frameon=False, fontsize=9, title=title, title_fontsize=9, **place)


def _draw_queries(axes: Axes, content: Mapping[str, Any]) -> None:
    renderings = content["renderings"]
    for number, group in enumerate(renderings[NATURAL]["groups"]):
        found = [_cosine(rendering["groups"][group]["queries"] or {}) for rendering in renderings.values()]
        _draw_line(axes, list(renderings), found, number)
        others = content["different_objects"][group]["mean_cosine"]
        if others is not None:
            label = "" if number else "different objects of a photo"
            axes.axhline(others, color=COLORS[number % len(COLORS)], linewidth=1.2, linestyle=":", label=label)
    axes.set_ylabel("cosine of an object's queries\nin rendering and photo")
    axes.margins(y=0.2)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=9, loc="best")


def _share(result: Mapping[str, Any], headline: str) -> tuple[float, float, float]:
    """Return the headline in percent of the photos', and its interval."""
    if result["ratio"] is None:  # the photos themselves
        return (100, 100, 100) if result["metrics"].get(headline) else NONE
    ratio, ends = kept(result, headline)
    if ratio is None:
        return NONE
    low, high = ends or (ratio, ratio)
    return 100 * ratio, 100 * low, 100 * high


def _cosine(queries: Mapping[str, Any]) -> tuple[float, float, float]:
    """Return a mean cosine with its standard error to both sides."""
    mean, error = queries.get("mean_cosine"), queries.get("standard_error") or 0
    return NONE if mean is None else (mean, mean - error, mean + error)


def _draw_line(axes: Axes, views: Sequence[str], points: Points, number: int, label: str = "") -> None:
    """Draw a group's values, joined from view to view but not to the controls, with their errors."""
    color, marker = COLORS[number % len(COLORS)], MARKERS[number % len(MARKERS)]
    values, low, high = np.array(points).T
    places = np.arange(len(views)) + SHIFT * number
    joined = np.array([view not in CONTROLS for view in views])
    axes.plot(places[joined], values[joined], color=color, linewidth=1.6)
    axes.plot(places, values, marker, color=color, markersize=6, label=label)
    axes.vlines(places, low, high, color=color, linewidth=1.2)  # an interval need not hold the value


def _label_points(axes: Axes, shares: Sequence[Points]) -> None:
    """Write values beside their points: the highest of a rendering above all error bars, another one below them."""
    for place, found in enumerate(zip(*shares, strict=True)):
        _, low, high = np.array(found).T
        labeled = [(value, number) for number, (value, *_) in enumerate(found[:MAX_LABELED]) if not np.isnan(value)]
        for rank, (value, number) in enumerate(sorted(labeled, reverse=True)):
            end, offset = (np.nanmax(high), (0, 8)) if rank == 0 else (np.nanmin(low), (0, -17))  # points
            style: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "color": COLORS[number]}
            style["path_effects"] = [withStroke(linewidth=3, foreground="white")]  # readable on a line, too
            if place:  # the photos are 100 by definition
                axes.annotate(f"{value:.0f}", (place + SHIFT * number, end), offset, **style)


def _style(axes: Axes, views: Sequence[str]) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlim(-0.5, len(views) - 0.5)
    for place, view in enumerate(views):
        if view in CONTROLS:
            axes.axvspan(place - 0.5, place + 0.5, color="#000000", alpha=0.07, linewidth=0)
