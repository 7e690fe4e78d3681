"""The report on some experiments: one HTML file that opens offline, and its numbers as json."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from vclr import coco as coco_json
from vclr.coco import Json
from vclr.config import ViewsConfig
from vclr.data.catalog import test_set, training_set
from vclr.data.views import ViewReader
from vclr.errors import UserError
from vclr.evaluation import pictures, study
from vclr.evaluation.study import BASELINE, FULL, KNOWN, NOVEL, VIEWS, Experiment
from vclr.files import atomic_path, read_image, read_json, write_json, write_png

NUM_SCENES = 4  # training images shown
NUM_EXAMPLES = 6  # evaluated images shown
TOP_PREDICTIONS = 30  # of an image, among which the best-fitting are shown
FADE = 0.85  # of the photo behind what was found
ANNOTATED = (255, 255, 255)  # outline of an annotated object
PICTURE_SIDE = 360  # pixels of a picture's long side in the report
TABLE_METRICS = ("mask_ar@100", "mask_ar@10", "box_ar@100")
LOSSES = ("loss", "loss_class", "loss_bbox", "loss_giou", "loss_mask", "loss_dice", "loss_consistency")
# Placeholders that become CSS colors, so that inline SVG follows the page's light or dark colors.
INK = "#010203"
LINE_COLORS = tuple(f"#0000a{number}" for number in range(8))


def write_report(experiments: list[str], seeds: list[int], runs: Path, results: Path, output: Path, title: str) -> None:
    """Write `output/report.html` and `output/summary.json`, and the report's pictures as `scenes.png`, `examples.png`.

    Args:
        experiments: names, in the order of the report; baseline first reads best.
        seeds: seeds that each experiment was trained with.
        runs: holds `<experiment>/seed<k>/config.yaml` and `metrics.jsonl`.
        results: holds `<experiment>/seed<k>/metrics.json` and `predictions.json`, maybe `<experiment>/untrained/`.
        output: the folder to write.
        title: heading of the report.

    Raises:
        UserError: a file is missing or damaged; names it.
    """
    runs, results, output = Path(runs), Path(results), Path(output)
    read = study.read_experiments(experiments, seeds, runs, results)
    histories = {
        name: [read_history(runs / name / f"seed{seed}" / "metrics.jsonl") for seed in seeds] for name in experiments
    }
    views, scenes = training_scenes(read)
    examples = found_objects(read, results)
    page = _render(
        title=title,
        experiments=read,
        findings=findings(read),
        evidence=study.evidence(len(seeds)),
        num_seeds=len(seeds),
        target=study.target_group(read),
        overview=draw_overview(read),
        table=results_table(read, histories),
        views=views,
        scenes=[[_data_uri(picture) for picture in row] for row in scenes],
        examples=[[(_data_uri(picture), caption) for picture, caption in row] for row in examples],
        top=TOP_PREDICTIONS,
        curves=draw_curves(histories),
        differences=study.differences(read),
        provenance=study.provenance(read[0].environment),
        data=_data_facts(read),
    )
    if scenes:
        write_png(output / "scenes.png", pictures.contact_sheet(scenes, views))
    if examples:
        sheet = [[picture for picture, _ in row] for row in examples]
        write_png(output / "examples.png", pictures.contact_sheet(sheet, ["image", "ground truth", *experiments]))
    write_json(output / "summary.json", summarize(read), indent=1)
    with atomic_path(output / "report.html") as partial:
        partial.write_text(page, encoding="utf-8")


def _render(**content: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(content)


# --- numbers ---------------------------------------------------------------------------------------------------------


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read `metrics.jsonl`: by kind and iteration, the last record that a resumed training wrote.

    Raises:
        UserError: the file is missing or a line is not a record.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    records = {}
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            records[record["kind"], record["iteration"]] = record
        except (ValueError, TypeError, KeyError):
            raise UserError(f"{path}: line {number}: is not a record with `kind` and `iteration`") from None
    return [records[key] for key in sorted(records)]


def training_minutes(history: list[dict[str, Any]]) -> float:
    """Return how long the steps of a training took together."""
    done, seconds = 0, 0.0
    for record in history:
        if record["kind"] == "train":
            seconds += (record["iteration"] - done) * record.get("step_seconds", 0.0)
            done = record["iteration"]
    return seconds / 60


def summarize(experiments: list[Experiment]) -> Json:
    """Return what `summary.json` holds: means over the seeds, gaps, the untrained model, the comparison."""
    metric = study.main_metric(experiments)
    summary: Json = {"experiments": {}, "untrained": {}, "comparison": {}}
    for experiment in experiments:
        means: Json = {
            group: {name: experiment.mean(group, name) for name in metrics[0]}
            for group, metrics in experiment.groups.items()
        }
        gaps = experiment.gaps(metric)
        means |= {"gap": float(np.mean(gaps)) if gaps else None, "seeds": len(experiment.seeds)}
        summary["experiments"][experiment.name] = means
        if experiment.untrained:
            summary["untrained"][experiment.name] = experiment.untrained
    for pair, tests in study.compare(experiments).items():
        summary["comparison"][pair] = {name: asdict(test) for name, test in tests.items()}
    rounded: Json = _shorten(summary)
    return rounded


def _shorten(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shorten(entry) for key, entry in value.items()}
    return round(value, 2) if isinstance(value, float) else value


def findings(experiments: list[Experiment]) -> list[str]:
    """Say in sentences, computed from the numbers, whether views help and whether consistency adds to them."""
    group, metric = study.target_group(experiments), study.main_metric(experiments)
    comparison = study.compare(experiments)
    subjects = {BASELINE: "The baseline", VIEWS: "Views alone", FULL: "v-CLR"}
    sentences = []
    for experiment in experiments:
        gaps = experiment.gaps(metric)
        if gaps:
            sentences.append(
                f"{subjects.get(experiment.role or '', 'Experiment')} ({experiment.name}): recall of "
                f"{experiment.mean(KNOWN, metric):.1f} % on known and {experiment.mean(NOVEL, metric):.1f} % on novel "
                f"objects ({metric}), a gap of {np.mean(gaps):.1f} points."
            )
    questions = {
        f"{VIEWS} - {BASELINE}": "Training on several views, without consistency,",
        f"{FULL} - {VIEWS}": "Adding consistency with the teacher to the views",
        f"{FULL} - {BASELINE}": "Views and consistency together",
    }
    for pair, subject in questions.items():
        if metric in comparison.get(pair, {}):
            sentences.append(f"{subject} {_effect(comparison[pair][metric], group)}")
    return sentences


def _effect(test: study.PairedResult, group: str) -> str:
    """Say what a difference amounts to, no more than the seeds allow."""
    points = abs(test.mean_difference)
    if points < 0.05:
        text = f"changed nothing on {group} objects"
    else:
        text = f"{'raised' if test.mean_difference > 0 else 'lowered'} recall on {group} objects by {points:.1f} points"
    if test.low is None or test.high is None:
        return f"{text} (one seed)."
    interval = f"{test.low:+.1f} to {test.high:+.1f}".replace("-", "−")
    tests = f"95 % interval {interval}, paired t test p {_equals(test.p_t)}"
    if test.p_permutation is not None:
        tests += f", sign flips p {_equals(test.p_permutation)}"
    verdict = "; the interval contains 0, so this is no evidence of an effect" if test.low <= 0 <= test.high else ""
    return f"{text} ({tests}{verdict})."


def _equals(p: float | None) -> str:
    text = study.format_p(p)
    return text if text.startswith("<") else f"= {text}"


def results_table(experiments: list[Experiment], histories: dict[str, list[list[dict[str, Any]]]]) -> Json:
    """Build the table of the report.

    Returns:
        `groups` and `metrics` for the heading, `has_gap`, `rows`: name, settings and cells, each cell a text and
        whether it is the best of its column; `untrained`: the cells of the untrained model, or None.
    """
    groups, metric = list(experiments[0].groups), study.main_metric(experiments)
    metrics = [name for name in TABLE_METRICS if any(experiment.values(groups[0], name) for experiment in experiments)]
    columns = [[experiment.values(group, name) for experiment in experiments] for group in groups for name in metrics]
    has_gap = any(experiment.gaps(metric) for experiment in experiments)
    cells = [_mark_best(column, max) for column in columns]
    if has_gap:
        cells.append(_mark_best([experiment.gaps(metric) for experiment in experiments], min))
    floor = next((experiment.untrained for experiment in experiments if experiment.untrained), None)
    rows = []
    for number, experiment in enumerate(experiments):
        minutes = [training_minutes(history) for history in histories[experiment.name]]
        rows.append(
            {
                "name": experiment.name,
                "views": ", ".join(experiment.views),
                "consistency": f"{experiment.consistency:g}",
                "iterations": experiment.config.train.max_iter,
                "cells": [column[number] for column in cells],
                "times": _times_untrained(experiment, floor, study.target_group(experiments), metric),
                "minutes": study.format_values(minutes),
            }
        )
    untrained = floor and [
        study.format_values([value] if (value := floor.get(group, {}).get(name)) is not None else [])
        for group in groups
        for name in metrics
    ]
    return {"groups": groups, "metrics": metrics, "has_gap": has_gap, "rows": rows, "untrained": untrained}


def _mark_best(column: list[list[float]], best: Any) -> list[tuple[str, bool]]:
    """Write each mean of a column, with whether no other is better by the digit shown."""
    means = [round(float(np.mean(values)), 1) if values else None for values in column]
    present = [mean for mean in means if mean is not None]
    top = best(present) if len(present) > 1 else None
    return [
        (study.format_values(values), mean is not None and mean == top)
        for values, mean in zip(column, means, strict=True)
    ]


def _times_untrained(experiment: Experiment, floor: dict[str, Any] | None, group: str, metric: str) -> str:
    """Say how many times the untrained model's recall an experiment has reached."""
    base = (experiment.untrained or floor or {}).get(group, {}).get(metric)
    mean = experiment.mean(group, metric)
    return f"× {mean / base:.1f}" if base and mean is not None else "–"


def _data_facts(experiments: list[Experiment]) -> dict[str, str]:
    config = experiments[0].config
    facts = {}
    for part, data_set in (("training", training_set(config)), ("evaluation", test_set(config))):
        coco = coco_json.load_coco(data_set.annotations)
        facts[part] = f"{data_set.annotations} ({coco_json.summarize(coco)})"
    for group, names in config.evaluation.groups.items():
        facts[f"{group} classes"] = ", ".join(names)
    return facts


# --- curves ----------------------------------------------------------------------------------------------------------


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
    metric = study.main_metric(experiments)
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
        for value in (known, novel):
            text = f"{value:.1f}"
            axes.annotate(text, (value, row), (0, 8), textcoords="offset points", ha="center", color=INK, fontsize=9)
    _style(axes)
    axes.set_yticks(range(len(experiments)), [experiment.name for experiment in experiments], fontsize=9)
    axes.set_ylim(len(experiments) - 0.6, -0.7)
    axes.set_xlim(0, axes.get_xlim()[1])
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
    return Markup(svg)  # noqa: S704 - made here from numbers and metric names


# --- pictures --------------------------------------------------------------------------------------------------------


def training_scenes(experiments: list[Experiment]) -> tuple[list[str], list[list[np.ndarray]]]:
    """Draw some training images in every view of the experiment that has most.

    Returns:
        The names of the views, and for each image its picture in each view with the annotations drawn.
    """
    experiment = max(experiments, key=lambda candidate: len(candidate.views))
    views = sorted(experiment.views, key=lambda view: view != "natural")
    data_set = training_set(experiment.config)
    coco = coco_json.load_coco(data_set.annotations)
    objects = _objects(coco)
    names = [image["file_name"] for image in coco["images"] if image["id"] in objects]
    settings = ViewsConfig(weights=dict.fromkeys(views, 1.0), seed=experiment.config.views.seed)
    reader = ViewReader(data_set, settings, names)
    rows = []
    for image in _pick(coco, objects, NUM_SCENES):
        photo = read_image(Path(data_set.images, image["file_name"]))
        masks = [coco_json.rasterize(item, image["height"], image["width"]) for item in objects[image["id"]]]
        shown = [reader.read(view, image["file_name"], photo) for view in views]
        colors, fill = [ANNOTATED] * len(masks), [False] * len(masks)
        rows.append([_finish(pictures.draw_objects(view, masks, colors=colors, fill=fill)) for view in shown])
    return views, rows


def found_objects(experiments: list[Experiment], results: Path) -> list[list[tuple[np.ndarray, str]]]:
    """Draw some evaluated images: the objects of the target group, and what the first seed of each experiment found.

    Returns:
        For each image the photo, the ground truth and one picture for each experiment, each with its caption.
    """
    config = experiments[0].config
    data_set = test_set(config)
    coco = coco_json.load_coco(data_set.annotations)
    names = config.evaluation.groups.get(study.target_group(experiments))
    if names is not None:
        wanted = coco_json.category_ids(coco, names, data_set.annotations)
        coco = coco_json.select(coco, lambda annotation: annotation["category_id"] in wanted)
    objects = _objects(coco)
    predictions = [_read_predictions(results, experiment) for experiment in experiments]
    rows = []
    for image in _pick(coco, objects, NUM_EXAMPLES):
        photo = read_image(Path(data_set.images, image["file_name"]))
        size = image["height"], image["width"]
        masks = [coco_json.rasterize(item, *size) for item in objects[image["id"]]]
        there = pictures.draw_objects(photo, masks, fade=FADE)
        row = [(_finish(pictures.draw_objects(photo, [])), ""), (_finish(there), f"{len(masks)} in all")]
        for found in predictions:
            best = sorted(found.get(image["id"], []), key=lambda entry: -entry["score"])[:TOP_PREDICTIONS]
            candidates = [coco_json.rasterize(entry, *size) for entry in best]
            picture, count = pictures.draw_found(photo, masks, candidates, fade=FADE)
            row.append((_finish(picture), f"{count} of {len(masks)}"))
        rows.append(row)
    return rows


def _objects(coco: Json) -> dict[Any, list[Json]]:
    """Return the annotations that are no crowds, by image, large ones first so that small ones are drawn on top."""
    objects: dict[Any, list[Json]] = {}
    for annotation in sorted(coco["annotations"], key=lambda item: -item["bbox"][2] * item["bbox"][3]):
        if not annotation.get("iscrowd", 0):
            objects.setdefault(annotation["image_id"], []).append(annotation)
    return objects


def _pick(coco: Json, objects: dict[Any, list[Json]], count: int) -> list[Json]:
    """Take images at even distances, of those with several objects if they suffice: not chosen by result."""
    several = [image for image in coco["images"] if len(objects.get(image["id"], [])) > 1]
    images = several if len(several) >= count else [image for image in coco["images"] if image["id"] in objects]
    positions = np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)
    return [images[position] for position in positions]


def _read_predictions(results: Path, experiment: Experiment) -> dict[Any, list[Json]]:
    path = results / experiment.name / f"seed{experiment.seeds[0]}" / "predictions.json"
    entries = read_json(path)
    by_image: dict[Any, list[Json]] = {}
    for position, entry in enumerate(entries if isinstance(entries, list) else [None]):
        if not isinstance(entry, dict) or not {"image_id", "score", "bbox"} <= entry.keys():
            raise UserError(f"{path}: [{position}]: is not a COCO result with `image_id`, `score` and `bbox`")
        by_image.setdefault(entry["image_id"], []).append(entry)
    return by_image


def _finish(picture: np.ndarray) -> np.ndarray:
    """Shrink a large picture to the size at which the report shows it."""
    return pictures.fit(picture, PICTURE_SIDE) if max(picture.shape) > PICTURE_SIDE else picture


def _data_uri(picture: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=88, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
