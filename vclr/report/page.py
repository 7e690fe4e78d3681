"""The report on some experiments: one HTML file that opens offline, and its numbers as json."""

from __future__ import annotations

from pathlib import Path

from vclr.coco.annotations import Json
from vclr.drawing import contact_sheet
from vclr.files import atomic_path, write_json
from vclr.pictures import write_png
from vclr.report.comparison import Pairs, check_pairs, warn_of_apart
from vclr.report.curves import draw_curves, draw_line_sample
from vclr.report.differences import shown_differences
from vclr.report.experiments import by_test_set, trainings
from vclr.report.facts import code_facts, describe_leaks, evaluated_files, run_facts
from vclr.report.failures import NUM_FAILURES
from vclr.report.findings import evidence
from vclr.report.gallery import RAW_SCORE, TOP_PREDICTIONS
from vclr.report.history import read_history
from vclr.report.ledger import make_ledger, markdown, shown_ledger
from vclr.report.licenses import terms_in_use
from vclr.report.plot_data import write_plot_data
from vclr.report.read_experiments import read_experiments
from vclr.report.render import render_page
from vclr.report.sections import test_section, training_sections
from vclr.report.study import OVER_IMAGES, markdown_results
from vclr.report.summary import summarize
from vclr.tracking.results import store_report


def write_report(
    experiments: list[str],
    seeds: list[int],
    runs: Path,
    results: Path,
    output: Path,
    title: str,
    pairs: Pairs = (),
    num_failures: int = NUM_FAILURES,
) -> str:
    """Write `report.html`, `summary.json`, `ledger.md`, `curves.json`, `recall_by_size.json` and pictures to `output`.

    Each test set has a table, comparisons and a gallery of its own. The pictures are `scenes.png` and `examples.png`;
    those of a second training or test set are `scenes-2.png`, `examples-2.png` and so on.

    Args:
        experiments: names, in the order of the report; it reads best with the baseline first.
        seeds: seeds that each experiment was trained with.
        runs: holds `<experiment>/seed<k>/config.yaml` and `metrics.jsonl`.
        results: holds `<experiment>/seed<k>/metrics.json` and `predictions.json`; possibly `<experiment>/untrained/`.
        output: the folder to write.
        title: heading of the report.
        pairs: which experiments to compare; without pairs, each with the first.
        num_failures: failures of each kind that the failure browser shows of each test set, at most.

    The page, `summary.json` and `ledger.md` also become artifacts of the trainings' runs in MLflow.

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
    test_sections = [
        test_section(name, on_it, pairs, histories, lines, num_failures) for name, on_it in compared.items()
    ]
    scenes = training_sections(trained)
    page = render_page(
        "report.html.jinja",
        title=title,
        test_sections=test_sections,
        training_sections=scenes,
        runs=run_facts(trained),
        experiments=trained,
        lines=lines,
        line_sample=draw_line_sample,
        evidence=evidence(len(seeds)),
        over_images=OVER_IMAGES,
        num_seeds=len(seeds),
        has_gap=any(section["table"]["has_gap"] for section in test_sections),
        top=TOP_PREDICTIONS,
        raw_score=RAW_SCORE,
        curves=draw_curves(histories),
        ledger=shown_ledger(ledger),
        differences=shown_differences(read),
        code=code_facts(trained),
        hashes=trained[0].data_hashes,
        num_failures=num_failures,
        leaks=list(dict.fromkeys(sentence for one in trained for sentence in describe_leaks(results / one.name))),
        terms=list(dict.fromkeys(term for one in read for term in terms_in_use(one.config, evaluated_files(one)))),
    )
    _write_pictures(output, scenes, test_sections)
    write_json(output / "summary.json", summarize(read, pairs), indent=1)
    write_plot_data(output, histories, read)
    for file, content in (("ledger.md", markdown(ledger)), ("report.html", page)):
        with atomic_path(output / file) as partial:
            partial.write_text(content, encoding="utf-8")
    tracked = [folder for one in trained for folder in one.runs]
    store_report(tracked, [output / "report.html", output / "summary.json", output / "ledger.md"])
    text = [line for section in test_sections for line in _describe_section(section, len(test_sections) > 1)]
    return "\n".join([*text, evidence(len(seeds)), "", f"The report: {output / 'report.html'}"])


def _write_pictures(output: Path, scenes: list[Json], test_sections: list[Json]) -> None:
    for number, section in enumerate(scenes, start=1):
        if section["pictures"]:
            write_png(output / _numbered("scenes", number), contact_sheet(section["pictures"], section["views"]))
    for number, section in enumerate(test_sections, start=1):
        if section["examples"]:
            sheet = [[picture for picture, _ in row] for row in section["examples"]]
            names = [experiment.name for experiment in section["experiments"]]
            write_png(output / _numbered("examples", number), contact_sheet(sheet, ["image", "ground truth", *names]))


def _numbered(name: str, number: int) -> str:
    return f"{name}.png" if number == 1 else f"{name}-{number}.png"


def _describe_section(section: Json, has_title: bool) -> list[str]:
    """Return the results on a test set as lines for a terminal."""
    heading = [f"On {section['title']}:", ""] if has_title else []
    return ["", *heading, *markdown_results(section["experiments"]), "", *section["findings"]]
