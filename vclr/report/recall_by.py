"""Recall by object size, class, crowding and occlusion, and precision by recall: figures and their table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from vclr.evaluation.tally import THRESHOLDS
from vclr.report.annotated import Annotated, Division
from vclr.report.curves import INK, look, style, to_svg
from vclr.report.outcomes import CURVE_LEVELS, Outcomes

MAX_CLASSES = 12  # drawn: those with the most objects; the table has all
MAX_POINTS = 200  # of a curve


class Part(NamedTuple):
    """A part of a group's objects: what divides them, the part, the number of its objects, recall per experiment."""

    title: str
    label: str
    num_objects: int
    recall: list[float | None]


def recall_by(annotated: Annotated, group: str, outcomes: Mapping[str, Outcomes]) -> list[Part]:
    """Return the recall of each part of a group's objects, for the experiments in the order of `outcomes`."""
    counts = annotated.objects_of(group)
    return [part for division in annotated.divisions for part in _parts(division, counts, group, outcomes)]


def _parts(division: Division, counts: np.ndarray, group: str, outcomes: Mapping[str, Outcomes]) -> list[Part]:
    parts = []
    for number, label in enumerate(division.labels):
        chosen = counts & (division.parts == number)
        if chosen.any():
            recall = [one.recall(group, chosen) for one in outcomes.values()]
            parts.append(Part(division.title, label, int(chosen.sum()), recall))
    is_class = division.title == "class"
    return sorted(parts, key=lambda part: -part.num_objects) if is_class else parts


def draw_recall(parts: list[Part], numbers: list[int], salt: str) -> list[Markup]:
    """Draw one panel per division; `numbers` says which line each experiment has, `salt` tells pages' panels apart."""
    titles = dict.fromkeys(part.title for part in parts)
    return [_draw_parts(title, [part for part in parts if part.title == title], numbers, salt) for title in titles]


def _draw_parts(title: str, parts: list[Part], numbers: list[int], salt: str) -> Markup:
    shown = parts[:MAX_CLASSES]
    is_class = title == "class"
    figure = Figure(figsize=(3.6, 2.5 if not is_class else 0.9 + 0.2 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(shown))
    for column, number in enumerate(numbers):
        recall = [np.nan if part.recall[column] is None else part.recall[column] for part in shown]
        points = (recall, places) if is_class else (places, recall)
        axes.plot(*points, **look(number) | ({"linestyle": ""} if is_class else {}), linewidth=1.4)
    style(axes)
    labels = [f"{part.label}{' · ' if is_class else chr(10)}{part.num_objects:,}" for part in shown]
    if is_class:
        axes.set_yticks(places, labels, parse_math=False)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlim(left=0)
    else:
        axes.set_xticks(places, labels)
        axes.set_ylim(bottom=0)
    axes.set_title(f"by {title}", loc="left", fontsize=9, color=INK)
    return to_svg(figure, f"recall by {title}; the table has the numbers", salt=salt)


def draw_precision(
    annotated: Annotated, group: str, outcomes: Mapping[str, Outcomes], numbers: list[int], salt: str
) -> list[Markup]:
    """Draw precision by recall at each of `CURVE_LEVELS`, one line per experiment."""
    num_objects = int(annotated.objects_of(group).sum())
    drawn = []
    for level, position in enumerate(CURVE_LEVELS):
        figure = Figure(figsize=(3.6, 2.5), layout="constrained")
        axes = figure.add_subplot()
        for number, one in zip(numbers, outcomes.values(), strict=True):
            recall, precision = one.precision(group, level, num_objects)
            kept = np.unique(np.linspace(0, len(recall) - 1, min(len(recall), MAX_POINTS)).astype(int))
            marks = max(1, len(kept) // 5)
            axes.plot(100 * recall[kept], 100 * precision[kept], **look(number), linewidth=1.4, markevery=marks)
        style(axes)
        threshold = f"{THRESHOLDS[position]:.2f}".lstrip("0")
        axes.set_title(f"precision by recall at IoU {threshold}", loc="left", fontsize=9, color=INK)
        axes.set_xlabel("recall", fontsize=8, color=INK)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        drawn.append(to_svg(figure, f"precision by recall at IoU {threshold}", salt=salt))
    return drawn
