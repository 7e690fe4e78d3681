"""What the report says about each test set and each training set."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import chain
from typing import Any

from vclr.coco.annotations import Json, load_coco
from vclr.coco.annotations import summarize as summarize_coco
from vclr.coco.predictions import read_predictions
from vclr.config import best_metric
from vclr.data.data_sets import training_set
from vclr.image_folders.open import each_folder, open_folder
from vclr.other_work import describe_other_work
from vclr.processes import count_cpus
from vclr.report.annotated import annotate
from vclr.report.comparison import Pairs
from vclr.report.curves import draw_overview
from vclr.report.evaluated_files import comparison_table, describe_origin
from vclr.report.experiments import Experiment, groups_of, target_group, trainings
from vclr.report.failure_browser import browser_data
from vclr.report.failures import pick_failures
from vclr.report.findings import findings
from vclr.report.gallery import found_objects, training_scenes
from vclr.report.outcomes import read_outcomes
from vclr.report.probes import probe_section
from vclr.report.recall_by import draw_precision, draw_recall, recall_by
from vclr.report.results_table import results_table
from vclr.worker_pool import WorkerPool


def test_section(
    title: str,
    experiments: list[Experiment],
    pairs: Pairs,
    histories: dict[str, Any],
    lines: dict[str, int],
    num_failures: int,
) -> Json:
    """Return what the template says about one test set; `lines` says which color and line an experiment has."""
    test_set = experiments[0].test_set
    coco = load_coco(test_set.annotations)
    section = {
        "title": title,
        "experiments": experiments,
        "findings": [*findings(experiments, pairs), *_about_ends(experiments), *_about_time(experiments, histories)],
        "overview": draw_overview(experiments, lines),
        "table": results_table(experiments, histories),
        "has_changed": test_set.has_changed,
        "data": _data_facts(experiments, coco),
        "comparison": comparison_table(test_set),
        "probe": probe_section(experiments, lines),
        "examples": [],
        "raw": [],
        "groups": [],
        "failures": None,
    }
    return section if section["has_changed"] else section | _found(experiments, coco, lines, num_failures)


def _data_facts(experiments: list[Experiment], coco: Json) -> dict[str, str]:
    test_set = experiments[0].test_set
    data = {"annotations": f"{test_set.annotations} ({summarize_coco(coco)})"}
    data |= {"sha256": test_set.sha256, **describe_origin(test_set), "images": test_set.photos}
    weights = {one.name: one.weights for one in experiments}
    is_same = len(set(weights.values())) == 1
    said = [f"{name}: {text}" for name, text in weights.items()]
    data["evaluated weights"] = experiments[0].weights if is_same else "; ".join(said)
    groups = {group: names for one in experiments for group, names in one.classes.items()}
    return data | {f"{group} classes": ", ".join(groups[group]) for group in groups_of(experiments) if group in groups}


def _found(experiments: list[Experiment], coco: Json, lines: dict[str, int], num_failures: int) -> Json:
    """Return what the predictions of the first seed of each experiment show: examples, recall by kind, failures."""
    source = experiments[0].test_set.annotations
    classes = {group: names for one in experiments for group, names in one.classes.items()}
    target, pool = target_group(experiments), WorkerPool(count_cpus())
    groups = sorted(groups_of(experiments), key=lambda group: group != target)
    with ExitStack() as stack:
        files = {
            one.name: stack.enter_context(read_predictions(one.predictions, coco["images"], source, pool))
            for one in experiments
        }
        examples, raw = found_objects(experiments, coco, list(files.values()))
        annotated = annotate(coco, {group: classes.get(group) for group in groups}, source)
        outcomes = {name: read_outcomes(file, annotated, pool) for name, file in files.items()}
        numbers = [lines[one.name] for one in experiments]
        kinds = {name: one.kind for name, one in outcomes.items()}
        failures = pick_failures(annotated, outcomes, num_failures)
        photos = open_folder(experiments[0].test_set.images)
        return {
            "examples": examples,
            "raw": raw,
            "outlines": " or ".join({"mask": "masks", "box": "boxes"}[kind] for kind in sorted({*kinds.values()})),
            "groups": [
                {
                    "name": group,
                    "parts": parts,
                    "recall": draw_recall(parts, numbers, f"{source} {group}"),
                    "precision": draw_precision(annotated, group, outcomes, numbers, f"{source} {group}"),
                }
                for group in groups
                if (parts := recall_by(annotated, group, outcomes))
            ],
            "failures": browser_data(failures, annotated, files, photos, kinds) if failures else None,
        }


def _about_ends(experiments: list[Experiment]) -> list[str]:
    """Say which trainings ended early."""
    return [
        f"{one.name}: the training of seed {seed} ended early, at iteration {end} of {one.config.train.max_iter}, "
        f"because {best_metric(one.config)} no longer improved."
        for one in experiments
        for seed, end in zip(one.seeds, one.early_ends, strict=False)
        if end
    ]


def _about_time(experiments: list[Experiment], histories: dict[str, Any]) -> list[str]:
    """Say which trainings shared the machine with other work while their times were taken."""
    names = [experiment.name for experiment in trainings(experiments)]
    said = {name: describe_other_work([*chain(*histories[name])]) for name in names}
    return [f"{name}: {text}" for name, text in said.items() if text]


def training_sections(experiments: list[Experiment]) -> list[Json]:
    """Return what the template shows of each training set: its experiments and facts, and pictures in all views."""
    by_files: dict[tuple[str, ...], list[Experiment]] = {}
    for experiment in experiments:
        files = training_set(experiment.config)
        by_files.setdefault((files.annotations, *map(str, each_folder(files.images))), []).append(experiment)
    sections = []
    for (path, *_), those in by_files.items():
        coco = load_coco(path)
        section = {"experiments": those, "facts": f"{path} ({summarize_coco(coco)})"}
        sections.append(section | dict(zip(("views", "pictures"), training_scenes(those, coco), strict=True)))
    return sections
