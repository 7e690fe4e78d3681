"""The report on some experiments: one HTML file that opens offline, and its numbers as json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from vclr.coco.annotations import Json, load_coco
from vclr.coco.annotations import summarize as summarize_coco
from vclr.data.catalog import test_set, training_set
from vclr.errors import UserError
from vclr.evaluation.curves import draw_curves, draw_overview
from vclr.evaluation.experiments import (
    BASELINE,
    FULL,
    KNOWN,
    NOVEL,
    VIEWS,
    Experiment,
    differences,
    main_metric,
    provenance,
    read_experiments,
    seed_folder,
    target_group,
)
from vclr.evaluation.gallery import TOP_PREDICTIONS, data_uri, found_objects, training_scenes
from vclr.evaluation.licences import terms_in_use
from vclr.evaluation.pictures import contact_sheet
from vclr.evaluation.study import PairedResult, compare, evidence, format_p, format_values, markdown_results
from vclr.files import atomic_path, read_json, write_json, write_png
from vclr.splits.leaks import summarize_leaks

TABLE_METRICS = ("mask_ar@100", "mask_ar@10", "box_ar@100")


def write_report(experiments: list[str], seeds: list[int], runs: Path, results: Path, output: Path, title: str) -> str:
    """Write `output/report.html` and `output/summary.json`, and the report's pictures as `scenes.png`, `examples.png`.

    Args:
        experiments: names, in the order of the report; baseline first reads best.
        seeds: seeds that each experiment was trained with.
        runs: holds `<experiment>/seed<k>/config.yaml` and `metrics.jsonl`.
        results: holds `<experiment>/seed<k>/metrics.json` and `predictions.json`, maybe `<experiment>/untrained/`.
        output: the folder to write.
        title: heading of the report.

    Returns:
        The main results as text, for a terminal.

    Raises:
        UserError: a file is missing or damaged; names it.
    """
    runs, results, output = Path(runs), Path(results), Path(output)
    read = read_experiments(experiments, seeds, runs, results)
    histories = {
        name: [read_history(seed_folder(runs / name, seed) / "metrics.jsonl") for seed in seeds] for name in experiments
    }
    views, scenes = training_scenes(read)
    examples = found_objects(read, results)
    page = _render(
        title=title,
        experiments=read,
        findings=findings(read),
        evidence=evidence(len(seeds)),
        num_seeds=len(seeds),
        target=target_group(read),
        overview=draw_overview(read),
        table=results_table(read, histories),
        views=views,
        scenes=[[data_uri(picture) for picture in row] for row in scenes],
        examples=[[(data_uri(picture), caption) for picture, caption in row] for row in examples],
        top=TOP_PREDICTIONS,
        curves=draw_curves(histories),
        differences=differences(read),
        provenance=provenance(read[0].environment),
        data=_data_facts(read),
        leaks=list(dict.fromkeys(describe_leaks(results / name / "leaks.json") for name in experiments)),
        terms=list(dict.fromkeys(term for experiment in read for term in terms_in_use(experiment.config))),
    )
    if scenes:
        write_png(output / "scenes.png", contact_sheet(scenes, views))
    if examples:
        sheet = [[picture for picture, _ in row] for row in examples]
        write_png(output / "examples.png", contact_sheet(sheet, ["image", "ground truth", *experiments]))
    write_json(output / "summary.json", summarize(read), indent=1)
    with atomic_path(output / "report.html") as partial:
        partial.write_text(page, encoding="utf-8")
    text = ["", *markdown_results(read, main_metric(read)), "", *findings(read), evidence(len(seeds))]
    return "\n".join([*text, "", f"The report: {output / 'report.html'}"])


def _render(**content: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja").render(content)


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
    """Return what `summary.json` holds: means over the seeds, gaps, the references, the comparison.

    The main metrics only: DVC shows and compares this file.
    """
    metric = main_metric(experiments)
    summary: Json = {"experiments": {}, "untrained": {}, "proposals": {}, "comparison": {}}
    for experiment in experiments:
        means: Json = {
            group: {name: experiment.mean(group, name) for name in TABLE_METRICS} for group in experiment.groups
        }
        gaps = experiment.gaps(metric)
        means |= {"gap": float(np.mean(gaps)) if gaps else None, "seeds": len(experiment.seeds)}
        summary["experiments"][experiment.name] = means
        for reference in ("untrained", "proposals"):
            for group, metrics in getattr(experiment, reference).items():
                summary[reference][group] = {name: metrics.get(name) for name in TABLE_METRICS}
    for pair, tests in compare(experiments).items():
        summary["comparison"][pair] = {name: tests[name].mean_difference for name in TABLE_METRICS if name in tests}
    rounded: Json = _shorten(summary)
    return rounded


def _shorten(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shorten(entry) for key, entry in value.items()}
    return round(value, 2) if isinstance(value, float) else value


def findings(experiments: list[Experiment]) -> list[str]:
    """Say in sentences, computed from the numbers, whether views help and whether consistency adds to them."""
    group, metric = target_group(experiments), main_metric(experiments)
    comparison = compare(experiments)
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


def _effect(test: PairedResult, group: str) -> str:
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
    text = format_p(p)
    return text if text.startswith("<") else f"= {text}"


def results_table(experiments: list[Experiment], histories: dict[str, list[list[dict[str, Any]]]]) -> Json:
    """Build the table of the report.

    Returns:
        `groups` and `metrics` for the heading, `has_gap`, `rows`: name, settings and cells, each cell a text and
        whether it is the best of its column; `references`: name and cells of what was not trained.
    """
    groups, metric = list(experiments[0].groups), main_metric(experiments)
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
                "times": _times_untrained(experiment, floor, target_group(experiments), metric),
                "minutes": format_values(minutes),
            }
        )
    proposals = next((experiment.proposals for experiment in experiments if experiment.proposals), None)
    references = [
        (name, [_format_one(reference.get(group, {}).get(metric)) for group in groups for metric in metrics])
        for name, reference in (("untrained", floor), ("object proposals", proposals))
        if reference
    ]
    heading = {"groups": groups, "metrics": metrics, "has_gap": has_gap, "has_floor": floor is not None}
    return {**heading, "rows": rows, "references": references}


def _format_one(value: float | None) -> str:
    return format_values([] if value is None else [value])


def _mark_best(column: list[list[float]], best: Any) -> list[tuple[str, bool]]:
    """Write each mean of a column, with whether no other is better by the digit shown."""
    means = [round(float(np.mean(values)), 1) if values else None for values in column]
    present = [mean for mean in means if mean is not None]
    top = best(present) if len(present) > 1 else None
    return [
        (format_values(values), mean is not None and mean == top) for values, mean in zip(column, means, strict=True)
    ]


def _times_untrained(experiment: Experiment, floor: dict[str, Any] | None, group: str, metric: str) -> str:
    """Say how many times the untrained model's recall an experiment has reached."""
    base = (experiment.untrained or floor or {}).get(group, {}).get(metric)
    mean = experiment.mean(group, metric)
    if base is None or mean is None:
        return "–"
    return f"× {mean / base:.1f}" if base else "from 0"


def describe_leaks(path: Path) -> str:
    """Say what `vclr audit` found, where it was asked.

    Raises:
        UserError: the file is damaged.
    """
    if not path.is_file():
        return "not looked for (vclr audit)"
    leaks = read_json(path)
    if not isinstance(leaks, dict) or "pairs_by" not in leaks:
        raise UserError(f"{path}: is not what vclr audit writes")
    return summarize_leaks(leaks)


def _data_facts(experiments: list[Experiment]) -> dict[str, str]:
    config = experiments[0].config
    facts = {}
    for part, data_set in (("training", training_set(config)), ("evaluation", test_set(config))):
        if not Path(data_set.annotations).is_file():  # a test set that was named to `vclr evaluate` alone
            continue
        coco = load_coco(data_set.annotations)
        facts[part] = f"{data_set.annotations} ({summarize_coco(coco)})"
    for group, names in config.evaluation.groups.items():
        facts[f"{group} classes"] = ", ".join(names)
    return facts
