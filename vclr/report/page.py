"""The report on some experiments: one HTML file that opens offline, and its numbers as json."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from vclr.catalog.metrics import TABLE_METRICS
from vclr.coco.annotations import Json, load_coco
from vclr.coco.annotations import summarize as summarize_coco
from vclr.config import DataSetConfig, best_metric
from vclr.data.data_sets import fill_method, training_set
from vclr.drawing import contact_sheet
from vclr.errors import UserError
from vclr.files import atomic_path, read_json, write_json
from vclr.image_folders.open import each_folder
from vclr.other_work import describe_other_work
from vclr.pictures import write_png
from vclr.report.comparison import Pairs, check_pairs, compare, warn_of_apart
from vclr.report.curves import draw_curves, draw_line_sample, draw_overview
from vclr.report.differences import differences, format_setting
from vclr.report.evaluated_files import comparison_table, describe_origin
from vclr.report.experiments import Experiment, by_test_set, groups_of, main_metric, provenance, trainings
from vclr.report.findings import evidence, findings
from vclr.report.gallery import RAW_SCORE, TOP_PREDICTIONS, data_uri, found_objects, training_scenes
from vclr.report.history import read_history
from vclr.report.ledger import make_ledger, markdown, shown_ledger
from vclr.report.licenses import terms_in_use
from vclr.report.plot_data import write_plot_data
from vclr.report.read_experiments import read_experiments
from vclr.report.results_table import results_table
from vclr.report.study import markdown_results
from vclr.splits.leaks import summarize_leaks


def write_report(
    experiments: list[str], seeds: list[int], runs: Path, results: Path, output: Path, title: str, pairs: Pairs = ()
) -> str:
    """Write `output/report.html`, `summary.json`, `ledger.md`, and the pictures as `scenes.png`, `examples.png`.

    Each test set has a table, comparisons and a gallery of its own; pictures of a second training or test set are in
    `scenes-2.png`, `examples-2.png` and so on.

    Args:
        experiments: names, in the order of the report; it reads best with the baseline first.
        seeds: seeds that each experiment was trained with.
        runs: holds `<experiment>/seed<k>/config.yaml` and `metrics.jsonl`.
        results: holds `<experiment>/seed<k>/metrics.json` and `predictions.json`; possibly `<experiment>/untrained/`.
        output: the folder to write.
        title: heading of the report.
        pairs: which experiments to compare; without pairs, each with the first.

    Returns:
        The main results as text, for a terminal.
    """
    results, output = Path(results), Path(output)
    check_pairs(pairs, experiments)
    read = read_experiments(experiments, seeds, Path(runs), results)
    trained = trainings(read)
    histories = {one.name: [read_history(folder / "metrics.jsonl") for folder in one.runs] for one in trained}
    lines = {one.name: number for number, one in enumerate(trained)}
    compared = by_test_set(read)
    warn_of_apart(pairs, compared)
    ledger = make_ledger(read)
    test_sections = [_test_section(name, on_it, pairs, histories, lines) for name, on_it in compared.items()]
    training_sections = _training_sections(trained)
    page = _render(
        title=title,
        test_sections=test_sections,
        training_sections=training_sections,
        experiments=trained,
        lines=lines,
        samples=[draw_line_sample(number) for number in range(len(trained))],
        evidence=evidence(len(seeds)),
        num_seeds=len(seeds),
        has_gap=any(section["table"]["has_gap"] for section in test_sections),
        top=TOP_PREDICTIONS,
        raw_score=RAW_SCORE,
        curves=draw_curves(histories),
        ledger=shown_ledger(ledger),
        differences=differences(read),
        code=_code_facts(trained),
        leaks=list(dict.fromkeys(sentence for one in trained for sentence in describe_leaks(results / one.name))),
        terms=list(dict.fromkeys(term for one in read for term in terms_in_use(one.config, _evaluated_files(one)))),
    )
    for number, scenes in enumerate(training_sections, start=1):
        if scenes["pictures"]:
            write_png(output / _numbered("scenes", number), contact_sheet(scenes["pictures"], scenes["views"]))
    for number, section in enumerate(test_sections, start=1):
        if section["examples"]:
            sheet = [[picture for picture, _ in row] for row in section["examples"]]
            names = [experiment.name for experiment in section["experiments"]]
            write_png(output / _numbered("examples", number), contact_sheet(sheet, ["image", "ground truth", *names]))
    write_json(output / "summary.json", summarize(read, pairs), indent=1)
    write_plot_data(output, histories, read)
    for file, content in (("ledger.md", markdown(ledger)), ("report.html", page)):
        with atomic_path(output / file) as partial:
            partial.write_text(content, encoding="utf-8")
    text = [line for section in test_sections for line in _describe_section(section, len(test_sections) > 1)]
    return "\n".join([*text, evidence(len(seeds)), "", f"The report: {output / 'report.html'}"])


def _numbered(name: str, number: int) -> str:
    return f"{name}.png" if number == 1 else f"{name}-{number}.png"


def _describe_section(section: Json, has_title: bool) -> list[str]:
    """Return the results on a test set as lines for a terminal."""
    heading = [f"On {section['title']}:", ""] if has_title else []
    return ["", *heading, *markdown_results(section["experiments"]), "", *section["findings"]]


def _test_section(
    title: str, experiments: list[Experiment], pairs: Pairs, histories: dict[str, Any], lines: dict[str, int]
) -> Json:
    """Return what the template says about one test set."""
    test_set = experiments[0].test_set
    coco, has_changed = load_coco(test_set.annotations), test_set.has_changed
    examples, raw = ([], []) if has_changed else found_objects(experiments, coco)
    data = {"annotations": f"{test_set.annotations} ({summarize_coco(coco)})"}
    data |= {"sha256": test_set.sha256, **describe_origin(test_set), "images": test_set.photos}
    weights = {one.name: one.weights for one in experiments}
    is_same = len(set(weights.values())) == 1
    said = [f"{name}: {text}" for name, text in weights.items()]
    data["evaluated weights"] = experiments[0].weights if is_same else "; ".join(said)
    groups = {group: names for one in experiments for group, names in one.classes.items()}
    data |= {f"{group} classes": ", ".join(groups[group]) for group in groups_of(experiments) if group in groups}
    return {
        "title": title,
        "experiments": experiments,
        "findings": [*findings(experiments, pairs), *_about_ends(experiments), *_about_time(experiments, histories)],
        "overview": draw_overview(experiments, lines),
        "table": results_table(experiments, histories),
        "examples": examples,
        "raw": raw,
        "has_changed": has_changed,
        "data": data,
        "comparison": comparison_table(test_set),
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


def _training_sections(experiments: list[Experiment]) -> list[Json]:
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


def _evaluated_files(experiment: Experiment) -> DataSetConfig:
    proposals = fill_method(experiment.config, experiment.config.data.test).proposals if experiment.proposals else ""
    return replace(experiment.test_set.files, proposals=proposals)


def _code_facts(experiments: list[Experiment]) -> dict[str, list[str]]:
    """Describe code and machine of the runs: in one text if it is the same for all, else in one per experiment."""
    facts = {experiment.name: provenance(experiment.environment) for experiment in experiments}
    said: dict[str, list[str]] = {}
    for key in dict.fromkeys(key for one in facts.values() for key in one):
        texts = {name: one.get(key, "not recorded") for name, one in facts.items()}
        is_same = len(set(texts.values())) == 1
        said[key] = list(texts.values())[:1] if is_same else [f"{name}: {text}" for name, text in texts.items()]
    return said


def _render(**content: Any) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"data_uri": data_uri, "setting": format_setting}
    return environment.get_template("report.html.jinja").render(content)


def summarize(experiments: list[Experiment], pairs: Pairs = ()) -> Json:
    """Return what `summary.json` holds: means over the seeds, gaps, the references, the comparisons.

    It has only the main metrics, because DVC shows and compares this file. With several test sets, it holds all of that
    in `test_sets`, by the name of the test set.
    """
    sets = {title: _summarize_set(compared, pairs) for title, compared in by_test_set(experiments).items()}
    rounded: Json = _shorten(next(iter(sets.values())) if len(sets) == 1 else {"test_sets": sets})
    return rounded


def _summarize_set(experiments: list[Experiment], pairs: Pairs) -> Json:
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
    for pair, comparison in compare(experiments, pairs).items():
        results = comparison.results
        summary["comparison"][pair] = {name: results[name].mean_difference for name in TABLE_METRICS if name in results}
    return summary


def _shorten(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shorten(entry) for key, entry in value.items()}
    return round(value, 2) if isinstance(value, float) else value


def describe_leaks(results: Path) -> list[str]:
    """Say what `vclr audit` found in the test sets of an experiment, if it was run.

    Args:
        results: the folder of the experiment's results, with `leaks.json` or, per protocol, a file in `leaks/`.

    Raises:
        UserError: a file is damaged.
    """
    sentences = []
    for path in (results / "leaks.json", *sorted((results / "leaks").glob("*.json"))):
        if path.is_file():
            leaks = read_json(path)
            if not isinstance(leaks, dict) or "pairs_by" not in leaks:
                raise UserError(f"{path}: is not what vclr audit writes")
            sentences.append(summarize_leaks(leaks))
    return sentences or ["not looked for (run vclr audit)"]
