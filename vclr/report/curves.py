"""The report's plots, as SVG that follows the page's colors."""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vclr.catalog.classes import KNOWN, NOVEL
from vclr.catalog.metrics import BOX_HEADLINE, HEADLINE
from vclr.catalog.weights import WEIGHTS
from vclr.report.experiments import Experiment, main_metric

# Placeholders that become CSS colors, so that inline SVG follows the page's light or dark colors.
INK = "#010203"
LINE_COLORS = tuple(f"#0000a{number}" for number in range(8))
# Dashes and markers distinguish lines without color. The first 35 lines differ in one or the other.
DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (3, 1.5, 3, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
NUM_MARKED = 6  # points of a line that carry its marker


def draw_curves(histories: dict[str, list[list[dict[str, Any]]]]) -> list[Markup]:
    """Draw the loss, its parts and, if it was measured during a training, recall; one line per training."""
    panels = [("train", name) for name in _losses(histories)]
    panels += [("eval", f"{weights}/{name}") for name in (HEADLINE, BOX_HEADLINE) for weights in WEIGHTS]
    drawn = []
    for kind, name in panels:
        lines = []
        for number, seeds in enumerate(histories.values()):
            for history in seeds:
                records = [record for record in history if record["kind"] == kind and record.get(name) is not None]
                if records:
                    lines.append((number, [(record["iteration"], record[name]) for record in records]))
        if lines:
            weights, _, metric = name.rpartition("/")
            drawn.append(_draw_panel(f"{metric} of the {weights}" if weights else metric, lines))
    return drawn


def _losses(histories: dict[str, list[list[dict[str, Any]]]]) -> list[str]:
    """List the losses that the trainings recorded: the sum first, then its parts in recorded order.

    The losses of earlier layers and of the proposals (`losses/criterion.py`) are left out: they would be most panels.
    """
    records = (record for seeds in histories.values() for history in seeds for record in history)
    names = dict.fromkeys(name for record in records if record["kind"] == "train" for name in record)
    shown = (name for name in names if name.split("_")[0] == "loss" and not re.search(r"_(\d+|enc)$", name))
    return sorted(shown, key=lambda name: name != "loss")


def _draw_panel(name: str, lines: list[tuple[int, list[tuple[int, float]]]]) -> Markup:
    figure = Figure(figsize=(3.6, 2.3), layout="constrained")
    axes = figure.add_subplot()
    for number, points in lines:
        axes.plot(
            *zip(*points, strict=True), **look(number), linewidth=1.4, markevery=max(1, len(points) // NUM_MARKED)
        )
    style(axes)
    axes.set_title(name, loc="left", fontsize=9, color=INK)
    axes.set_xlabel("iteration", fontsize=8, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    return to_svg(figure, f"{name} by iteration")


def look(number: int) -> dict[str, Any]:
    """Return color, dashes and marker of the lines of an experiment."""
    return {
        "color": LINE_COLORS[number % len(LINE_COLORS)],
        "linestyle": DASHES[number % len(DASHES)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 4,
    }


def draw_line_sample(number: int, legend: str = "") -> Markup:
    """Draw a short line that looks like those of the n-th experiment, for a legend; `legend` tells legends apart."""
    figure = Figure(figsize=(0.55, 0.16))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.plot((0, 1, 2), (0, 0, 0), **look(number), linewidth=1.4, markevery=(1, 2))
    axes.set_axis_off()
    return to_svg(figure, "", salt=f"sample {number} {legend}")


def draw_overview(experiments: list[Experiment], numbers: dict[str, int]) -> Markup | None:
    """Draw known and novel recall of each experiment as a line from one to the other; None without both groups.

    Small dots are the seeds' novel recall. `numbers` says which color an experiment has.
    """
    metric = main_metric(experiments)
    if not all(experiment.gaps(metric) for experiment in experiments):
        return None
    figure = Figure(figsize=(6.4, 0.8 + 0.5 * len(experiments)), layout="constrained")
    axes = figure.add_subplot()
    for row, experiment in enumerate(experiments):
        known, novel = (experiment.mean(group, metric) or 0.0 for group in (KNOWN, NOVEL))
        color = LINE_COLORS[numbers[experiment.name] % len(LINE_COLORS)]
        axes.plot((novel, known), (row, row), color=color, linewidth=2.5, alpha=0.45, zorder=1)
        axes.scatter(experiment.values(NOVEL, metric), [row] * len(experiment.seeds), s=8, color=color, zorder=2)
        axes.scatter([novel], [row], s=70, color=color, zorder=3)
        axes.scatter([known], [row], s=70, facecolors="none", edgecolors=color, linewidths=1.8, zorder=3)
        for value, offset in ((known, 8), (novel, -15)):  # points; apart, so that near values stay readable
            text = f"{value:.1f}"
            axes.annotate(
                text, (value, row), (0, offset), textcoords="offset points", ha="center", color=INK, fontsize=9
            )
    style(axes)
    names = [experiment.name for experiment in experiments]
    axes.set_yticks(range(len(names)), names, fontsize=9, parse_math=False)
    axes.set_ylim(len(experiments) - 0.4, -0.6)
    axes.set_xlim(0, 1.02 * axes.get_xlim()[1])
    axes.set_xlabel(f"{metric}: ● on novel classes, ○ on known classes", fontsize=8, color=INK)
    said = [
        f"{one.name}: novel {one.mean(NOVEL, metric):.1f}, known {one.mean(KNOWN, metric):.1f}" for one in experiments
    ]
    return to_svg(figure, f"{metric} in percent. {'; '.join(said)}", salt=str(experiments[0].test_set.key))


def style(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set(color=INK, alpha=0.35)
    axes.tick_params(colors=INK, labelsize=8, length=2.5)
    axes.grid(color=INK, alpha=0.12, linewidth=0.6)
    axes.set_axisbelow(True)


def to_svg(figure: Figure, name: str, salt: str = "") -> Markup:
    """Return a figure as inline SVG: text as text, CSS colors, no ids or addresses that the page does not need.

    `name` says what the figure shows; without a name it is an ornament that screen readers skip. Name and salt together
    decide the ids in it, which must differ from those of the page's other figures.
    """
    text = io.StringIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": name + salt, "font.family": "sans-serif"}
    with matplotlib.rc_context(settings):
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    label = f'role="img" aria-label="{escape(name)}"' if name else 'aria-hidden="true"'
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', lambda found: f"{found[1]} {label}", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'<path d="[^"]*" style="fill: #ffffff[^"]*"/>', "", svg).replace(INK, "currentColor")
    for number, color in enumerate(LINE_COLORS):
        svg = svg.replace(color, f"var(--line-{number})")
    return Markup(svg)  # safe: made here from numbers, metric names and escaped text
