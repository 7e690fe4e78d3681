"""The page about inspected views: contact sheets, a plot of structure kept against appearance changed, all figures."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from vclr.catalog.view_measures import VIEW_MEASURES
from vclr.catalog.views import NATURAL
from vclr.coco.annotations import Json
from vclr.files import atomic_path
from vclr.report.curves import INK, LINE_COLORS, MARKERS, style, to_svg
from vclr.report.render import render_page
from vclr.studio.data import CONTROL
from vclr.studio.inspect import Inspection

TEMPLATES = Path(__file__).parent / "templates"


def write_page(path: Path, content: Json, inspection: Inspection) -> None:
    """Write one HTML file that opens offline.

    Args:
        path: the file.
        content: what `verdict.as_json` returns.
        inspection: has the pictures.
    """
    page = render_page(
        "views.html.jinja",
        TEMPLATES,
        **content,
        measures=VIEW_MEASURES,
        natural=NATURAL,
        control=CONTROL,
        sheet=inspection.sheet,
        worst={view: found.worst for view, found in inspection.views.items() if found.worst},
        plot=_draw(content["views"]),
    )
    with atomic_path(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _draw(views: dict[str, Json]) -> Markup:
    """Draw structure kept against appearance changed, with 95 % intervals: a good view is at the upper right."""
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.add_subplot()
    said = []
    for number, (name, view) in enumerate(views.items()):
        change, structure = (view["measures"][measure] for measure in ("change", "structure"))
        if change is None:
            continue
        color = LINE_COLORS[number % len(LINE_COLORS)]
        x, y = change["mean"], structure["mean"]
        axes.plot(change["interval"], (y, y), color=color, linewidth=1.2, clip_on=False)
        axes.plot((x, x), structure["interval"], color=color, linewidth=1.2, clip_on=False)
        face = "none" if view["source"] == CONTROL else color
        marker = MARKERS[number % len(MARKERS)]
        axes.scatter([x], [y], s=42, marker=marker, facecolors=face, edgecolors=color, zorder=3, clip_on=False)
        axes.annotate(name, (x, y), (6, 5), textcoords="offset points", color=INK, fontsize=8, parse_math=False)
        said.append(f"{name}: change {x:.2f}, structure {y:.2f}")
    style(axes)
    axes.set_xlim(0, max(0.6, axes.get_xlim()[1]))
    axes.set_ylim(0, 1)
    axes.set_xlabel("change: how much of the appearance is replaced", fontsize=8, color=INK)
    axes.set_ylabel("structure: how well edges agree with the photo's", fontsize=8, color=INK)
    return to_svg(figure, "Structure kept against appearance changed. " + "; ".join(said))


def format_table(content: Json) -> str:
    """Return the means as a table for a terminal."""
    names = [*VIEW_MEASURES]
    width = max(map(len, content["views"]))
    lines = [" ".join([" " * width, *names])]
    for view, found in content["views"].items():
        figures = (found["measures"][name] for name in names)
        shown = ("–" if one is None else f"{one['mean']:.3f}" for one in figures)
        cells = (text.rjust(len(name)) for name, text in zip(names, shown, strict=True))
        lines.append(" ".join([view.ljust(width), *cells]))
    return "\n".join(lines)
