"""The report's plots, as SVG that follows the page's colors."""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vclr.evaluation.experiments import KNOWN, NOVEL, Experiment, main_metric

LOSSES = ("loss", "loss_class", "loss_bbox", "loss_giou", "loss_mask", "loss_dice", "loss_consistency")
# Placeholders that become CSS colors, so that inline SVG follows the page's light or dark colors.
INK = "#010203"
LINE_COLORS = tuple(f"#0000a{number}" for number in range(8))


def draw_curves(histories: dict[str, list[list[dict[str, Any]]]]) -> list[Markup]:
    """Draw the loss, its parts and, where a training evaluated, recall; one line for each training."""
    panels = [("train", name) for name in LOSSES]
    panels += [("eval", name) for name in ("mask_ar@100", "box_ar@100")]
    drawn = []
    for kind, name in panels:
        lines = []
        for number, seeds in enumerate(histories.values()):
            for history in seeds:
                records = [record for record in history if record["kind"] == kind and record.get(name) is not None]
                if records:
                    lines.append((number, [(record["iteration"], record[name]) for record in records]))
        if lines:
            drawn.append(_draw_panel(name, lines))
    return drawn


def _draw_panel(name: str, lines: list[tuple[int, list[tuple[int, float]]]]) -> Markup:
    figure = Figure(figsize=(3.6, 2.3), layout="constrained")
    axes = figure.add_subplot()
    for number, points in lines:
        color = LINE_COLORS[number % len(LINE_COLORS)]
        marker = "o" if len(points) < 3 else None
        axes.plot(*zip(*points, strict=True), color=color, linewidth=1.4, marker=marker, markersize=3)
    _style(axes)
    axes.set_title(name, loc="left", fontsize=9, color=INK)
    axes.set_xlabel("iteration", fontsize=8, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    return _to_svg(figure, name)


def draw_overview(experiments: list[Experiment]) -> Markup | None:
    """Draw known and novel recall of each experiment as a line from one to the other; None without both groups.

    Small dots are the seeds' novel recall.
    """
    metric = main_metric(experiments)
    if not all(experiment.gaps(metric) for experiment in experiments):
        return None
    figure = Figure(figsize=(6.4, 0.8 + 0.5 * len(experiments)), layout="constrained")
    axes = figure.add_subplot()
    for row, experiment in enumerate(experiments):
        known, novel = (experiment.mean(group, metric) or 0.0 for group in (KNOWN, NOVEL))
        color = LINE_COLORS[row % len(LINE_COLORS)]
        axes.plot((novel, known), (row, row), color=color, linewidth=2.5, alpha=0.45, zorder=1)
        axes.scatter(experiment.values(NOVEL, metric), [row] * len(experiment.seeds), s=8, color=color, zorder=2)
        axes.scatter([novel], [row], s=70, color=color, zorder=3)
        axes.scatter([known], [row], s=70, facecolors="none", edgecolors=color, linewidths=1.8, zorder=3)
        for value, offset in ((known, 8), (novel, -15)):  # points; apart, so that near values stay readable
            text = f"{value:.1f}"
            axes.annotate(
                text, (value, row), (0, offset), textcoords="offset points", ha="center", color=INK, fontsize=9
            )
    _style(axes)
    axes.set_yticks(range(len(experiments)), [experiment.name for experiment in experiments], fontsize=9)
    axes.set_ylim(len(experiments) - 0.4, -0.6)
    axes.set_xlim(0, 1.02 * axes.get_xlim()[1])
    axes.set_xlabel(f"{metric}: ● on novel classes, ○ on known classes", fontsize=8, color=INK)
    return _to_svg(figure, "overview")


def _style(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set(color=INK, alpha=0.35)
    axes.tick_params(colors=INK, labelsize=8, length=2.5)
    axes.grid(color=INK, alpha=0.12, linewidth=0.6)
    axes.set_axisbelow(True)


def _to_svg(figure: Figure, name: str) -> Markup:
    """Return a figure as inline SVG: text as text, CSS colors, no ids or addresses that the page does not need."""
    text = io.StringIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}
    with matplotlib.rc_context(settings):
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', rf'\1 role="img" aria-label="{name}"', svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'<path d="[^"]*" style="fill: #ffffff[^"]*"/>', "", svg).replace(INK, "currentColor")
    for number, color in enumerate(LINE_COLORS):
        svg = svg.replace(color, f"var(--line-{number})")
    return Markup(svg)  # safe: made here from numbers and metric names
