"""A report on experiments with different test sets: one table, gallery and comparison for each, nothing across."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.report.report_world import (
    provenance_of,
    settings_of,
    write_data,
    write_other_data,
    write_result,
    write_training,
)
from vclr.cli import app
from vclr.errors import UsageError, UserError
from vclr.files import read_json, write_json
from vclr.outputs import REPORT, check_output_folder
from vclr.report.experiments import by_test_set
from vclr.report.page import write_report
from vclr.report.plot_data import size_rows
from vclr.report.read_experiments import read_experiments
from vclr.report.study import summarize_study, write_study


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """`full` was evaluated on both test sets, `baseline` on the first, `views` on the second; all ids coincide."""
    root = tmp_path_factory.mktemp("world")
    first, second = write_data(root), write_other_data(root)
    of_first = root / "val.json", root / "images"
    of_second = root / "other" / "val.json", root / "other" / "images"
    for name in ("baseline", "views", "full"):
        write_training(root, name, 0, settings_of(root, name))
    results = root / "results"
    write_result(results / "baseline" / "seed0", first, (5, 2))  # of an older version: does not say of which test set
    write_result(results / "full" / "seed0" / "here", first, (4, 4), provenance=provenance_of(*of_first, "here"))
    write_result(results / "full" / "seed0" / "there", second, (2, 8), provenance=provenance_of(*of_second, "there"))
    write_result(results / "views" / "seed0", second, (8, 1), provenance=provenance_of(*of_second))
    write_result(
        results / "full" / "untrained" / "there", second, (1, 0), provenance=provenance_of(*of_second, "there")
    )
    write_result(results / "full" / "proposals" / "here", first, (6, 6), provenance=provenance_of(*of_first, "here"))
    return root


@pytest.fixture
def world(template, tmp_path):
    """A copy of the results and runs, which tests may change; the data stays where it is."""
    for folder in ("runs", "results"):
        shutil.copytree(template / folder, tmp_path / folder)
    return tmp_path


def report(world, experiments=("baseline", "views", "full")):
    write_report(list(experiments), [0], world / "runs", world / "results", world / "out", "two test sets")
    return (world / "out" / "report.html").read_text()


def sections(page):
    """Return the part of the page about each test set."""
    parts = re.split(r"<h2[^>]*>(Results[^<]*|Training scenes[^<]*)</h2>", page)
    return {title.removeprefix("Results on "): text for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def words(html):
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def sizes_of_pictures(html):
    sources = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)"', html)
    return [Image.open(io.BytesIO(base64.b64decode(source))).size for source in sources]


@pytest.fixture(scope="module")
def page(template, tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    for folder in ("runs", "results"):
        shutil.copytree(template / folder, root / folder)
    return report(root)


def test_each_test_set_has_its_own_table_sentences_and_pictures(page):
    parts = sections(page)
    here, there = parts["here"], parts["there"]
    for part, names in ((here, {"baseline", "full"}), (there, {"views", "full"})):
        assert set(re.findall(r'<th scope="row"><span[^>]*></span>(\w+)</th>', part)) == names
        assert part.count("<img") == (6 + 1) * (2 + 2)
    assert "Recall of full on novel objects is 33.4 points higher than that of baseline (one seed)" in words(here)
    assert "Recall of full on novel objects is 87.5 points higher than that of views (one seed)" in words(there)
    assert "views:" not in words(here) and "of views" not in words(here)
    assert "baseline" not in words(there)
    assert "6 images, 12 objects" in here
    assert "8 images, 16 objects" in there
    assert {width / height for width, height in sizes_of_pictures(here)} == {1}
    assert {width / height for width, height in sizes_of_pictures(there)} == {2}
    assert "untrained" in words(there) and "untrained" not in words(here)
    assert "object proposals" in words(here) and "bject proposals" not in words(there)
    assert "cannot be compared, so each has a table of its own" in words(page)


def test_the_best_is_found_within_a_test_set(page):
    parts = sections(page)
    bold = {title: re.findall(r'<td class="[^"]*best">([\d.-]+)', parts[title]) for title in ("here", "there")}
    # known, novel, gap; three metrics each
    assert bold["here"] == ["83.3"] * 3 + ["66.7"] * 3 + ["0.0"]
    assert bold["there"] == ["100.0"] * 6 + ["-75.0"]


def test_summary_and_study_keep_test_sets_apart(world):
    report(world)
    summary = read_json(world / "out" / "summary.json")
    assert set(summary) == {"test_sets"}
    assert set(summary["test_sets"]["here"]["experiments"]) == {"baseline", "full"}
    assert summary["test_sets"]["there"]["experiments"]["full"]["novel"]["mask_ar@100"] == 100
    assert summary["test_sets"]["here"]["experiments"]["full"]["novel"]["mask_ar@100"] == 66.67
    write_study(["baseline", "views", "full"], [0], world / "runs", world / "results", world / "study")
    study = read_json(world / "study" / "study.json")
    assert set(study["test_sets"]) == {"here", "there"}
    assert set(study["test_sets"]["here"]["comparison"]) == {"full - baseline"}
    text = (world / "study" / "study.md").read_text()
    assert text.index("## here") < text.index("| baseline |") < text.index("## there") < text.index("| views |")


def test_one_test_set_keeps_the_simple_layout(world):
    report(world, ["views"])
    assert set(read_json(world / "out" / "summary.json")) == {"experiments", "untrained", "proposals", "comparison"}


def change(path, **changes):
    """Change what a file of metrics says of its test set, checkpoint or classes."""
    metrics = read_json(path)
    for part, values in changes.items():
        if values is None:
            metrics["provenance"][part] = None
        else:
            metrics["provenance"].setdefault(part, {}).update(values)
    write_json(path, metrics)


def read(world, names, seeds=(0,)):
    return read_experiments(list(names), list(seeds), world / "runs", world / "results")


def test_a_copy_of_the_annotations_is_the_same_test_set(world, template):
    shutil.copy(template / "val.json", world / "copy.json")
    change(world / "results/full/seed0/here/metrics.json", test_set={"annotations": str(world / "copy.json")})
    change(world / "results/full/proposals/here/metrics.json", test_set={"annotations": str(world / "copy.json")})
    assert [one.name for one in by_test_set(read(world, ["baseline", "full"]))["here"]] == ["baseline", "full"]


def test_other_images_are_another_test_set(world, template):
    for folder in ("seed0", "proposals"):
        change(world / "results/full" / folder / "here/metrics.json", test_set={"images": str(template / "depth")})
    sets = by_test_set(read(world, ["baseline", "full"]))
    assert [[one.name for one in compared] for compared in sets.values()] == [["baseline"], ["full"], ["full"]]


def test_groups_of_other_classes_are_not_compared(world, template):
    settings = settings_of(template, "full", "evaluation.groups={known: ['<star> & co'], novel: [box]}")
    (world / "runs/full/seed0/config.yaml").write_text(settings)
    sets = by_test_set(read(world, ["baseline", "full"]))
    assert [[one.name for one in compared] for compared in sets.values()] == [["baseline"], ["full"], ["full"]]
    assert len(sets) == 3  # their names differ too


def test_classes_are_those_that_the_evaluation_says(world):
    """The configuration of a training may name other groups than those that it was evaluated on later."""
    path = world / "results/full/seed0/there/metrics.json"
    others = {"known": ["<star> & co"], "novel": ["box"]}
    for folder in ("seed0", "untrained"):
        change(world / "results/full" / folder / "there/metrics.json", groups=others)
    metrics = read_json(path)
    (full,) = (one for one in read(world, ["full"]) if one.test_set.protocol == "there")
    assert full.classes == others
    assert "novel classes box" in words(sections(report(world, ["full"]))["there"])
    assert len(by_test_set(read(world, ["views", "full"]))) == 3, "groups of other classes are not compared"
    metrics["provenance"]["groups"] = {"known": "box"}
    write_json(path, metrics)
    with pytest.raises(UserError, match="provenance: does not name the classes of its groups; evaluate again"):
        read(world, ["full"])


def test_seeds_with_groups_of_other_classes_are_refused(world):
    shutil.copytree(world / "results/full/seed0", world / "results/full/seed1")
    shutil.copytree(world / "runs/full/seed0", world / "runs/full/seed1")
    path = world / "results/full/seed1/there/metrics.json"
    metrics = read_json(path)
    metrics["provenance"]["groups"] = {"novel": ["box"]}
    write_json(path, metrics)
    with pytest.raises(UserError, match=r"seed1/there/metrics.json: has groups of other classes than \S*seed0"):
        read(world, ["full"], seeds=[0, 1])


def test_two_protocols_on_one_test_set_are_one_table(world):
    folder = world / "results/full/seed0"
    shutil.copytree(folder / "here", folder / "novel")
    (full,) = by_test_set(read(world, ["full"]))["here"]
    assert list(full.groups) == ["known", "novel"]


def test_published_protocols_are_columns_of_their_names(world):
    metrics = {"mask_ar@100": 40.0, "box_ar@100": 50.0, "mask_ar@100_small": 30.0, "groups": {}}
    for name, protocol, annotations in (("baseline", "lvis", "a.json"), ("full", "nonvoc", "b.json")):
        test_set = {"annotations": annotations, "sha256": annotations, "images": "photos"}
        shutil.rmtree(world / "results" / name)
        provenance = {"checkpoint": None, "test_set": test_set, "protocol": protocol}
        write_json(
            world / "results" / name / "seed0" / protocol / "metrics.json", {**metrics, "provenance": provenance}
        )
    rows = size_rows(read(world, ["baseline", "full"]))
    assert rows == [
        {"objects": "LVIS non-COCO small", "baseline on LVIS non-COCO": 30.0},
        {"objects": "Non-VOC small", "full on Non-VOC": 30.0},
    ]
    text = summarize_study(read(world, ["baseline", "full"]))
    assert "| experiment | LVIS non-COCO `mask_ar@100` | LVIS non-COCO `box_ar@100` |" in text
    assert "| experiment | Non-VOC `mask_ar@100` | Non-VOC `box_ar@100` |" in text
    assert "Differences" not in text


def test_one_name_for_two_test_sets_is_told_apart(world, template):
    first, second = (
        (template / "val.json", template / "images"),
        (template / "other/val.json", template / "other/images"),
    )
    for name, files in (("baseline", first), ("full", second)):
        shutil.rmtree(world / "results" / name)
        folder = world / "results" / name / "seed0" / "mine"
        write_json(folder / "metrics.json", {"mask_ar@100": 1.0, "provenance": provenance_of(*files, "mine")})
    assert list(by_test_set(read(world, ["baseline", "full"]))) == [str(first[0]), str(second[0])]


@pytest.mark.parametrize(
    ("path", "changes", "message"),
    [
        (
            "full/untrained/there",
            {"test_set": {"sha256": "0"}},
            r"untrained/there/metrics.json: has another test set",
        ),
        ("full/proposals/here", {"test_set": {"images": "no"}}, r"proposals/here/metrics.json: has another test set"),
        ("full/seed0/there", {"checkpoint": {"sha256": "0"}}, r"seed0/there: has another checkpoint than \S*here"),
        (
            "full/seed0/there",
            {"test_set": {"sha256": 5}},
            r"there/metrics.json: provenance: does not name the test set",
        ),
        ("full/seed0/there", {"test_set": None}, r"there/metrics.json: provenance: does not name the test set"),
    ],
)
def test_results_that_do_not_belong_together_are_refused(world, path, changes, message):
    change(world / "results" / path / "metrics.json", **changes)
    with pytest.raises(UserError, match=message):
        report(world)
    assert not (world / "out").exists()


def test_seeds_of_different_test_sets_are_refused(world):
    for folder in ("runs", "results"):
        shutil.copytree(world / folder / "views/seed0", world / folder / "views/seed1")
    change(world / "results/views/seed1/metrics.json", test_set={"sha256": "0"})
    with pytest.raises(UserError, match=r"seed1/metrics.json: has another test set than \S*seed0/metrics.json"):
        read(world, ["views"], seeds=[0, 1])


def test_changed_annotations_are_said_and_not_drawn(world):
    change(world / "results/views/seed0/metrics.json", test_set={"sha256": "0" * 64})
    (world / "results/full/untrained/there/metrics.json").unlink()
    page = report(world, ["views"])
    assert "The annotations have changed since this evaluation" in words(page)
    assert sections(page)["Results"].count("<img") == 0


def test_predictions_of_another_size_are_refused(world, template):
    entries = read_json(world / "results/views/seed0/predictions.json")
    mask = read_json(template / "val.json")["annotations"][0]["segmentation"]
    write_json(world / "results/views/seed0/predictions.json", [{**entry, "segmentation": mask} for entry in entries])
    with pytest.raises(UserError, match=r"predictions.json: \[0\]: RLE size \[64, 64\] differs"):
        report(world)


def test_a_detector_that_is_sure_of_nothing_shows_its_mistakes_too(world):
    path = world / "results/views/seed0/predictions.json"
    entries = [{**entry, "score": entry["score"] / 4} for entry in read_json(path)]
    first = [entry for entry in entries if entry["image_id"] == 0]
    write_json(path, entries + [{**entry, "score": 0.1} for entry in first])
    page = report(world, ["views"])
    assert f"none above 0.5; of its {2 * len(first)} best {len(first)} fit none" in page


def test_a_training_without_seed_folders_is_found(world):
    for folder in ("runs", "results"):
        (world / folder / "full" / "seed0").rename(world / folder / "mine")
    (mine, _) = read(world, ["mine"])
    assert mine.values("novel", "mask_ar@100") == [pytest.approx(66.667, abs=0.01)]
    with pytest.raises(UserError, match="mine/seed0/config.yaml: does not exist"):
        read(world, ["mine"], seeds=[0, 1])


def test_each_training_set_is_shown_once(world, template):
    write_json(world / "less.json", read_json(template / "train.json"))
    settings = settings_of(template, "full", f"data.train.annotations={world / 'less.json'}")
    (world / "runs/full/seed0/config.yaml").write_text(settings)
    page = report(world)
    assert "Training scenes in all views: baseline, views" in page
    assert "Training scenes in all views: full" in page
    assert {"scenes.png", "scenes-2.png", "examples.png", "examples-2.png"} < {
        path.name for path in (world / "out").iterdir()
    }
    assert np.asarray(Image.open(world / "out" / "examples-2.png")).std() > 0
    assert json.loads((world / "out" / "summary.json").read_text())


@pytest.mark.parametrize("verb", ["report", "study"])
@pytest.mark.parametrize(
    ("experiments", "seeds", "message"),
    [
        ("views", "0,0", "--seeds: names 0 twice; name each once"),
        ("views,full,views", "0", "--experiments: names views twice; name each once"),
        ("views,,full", "0", "--experiments 'views,,full': expected names separated by commas"),
    ],
)
def test_what_would_count_twice_is_refused(tmp_path, verb, experiments, seeds, message):
    arguments = [verb, "--experiments", experiments, "--seeds", seeds, "--output", str(tmp_path / "out")]
    refused = CliRunner().invoke(app, arguments)
    assert isinstance(refused.exception, UsageError)
    assert str(refused.exception) == message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verb", ["report", "study"])
@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["views"], "--pairs 'views': expected FIRST:SECOND, separated by commas"),
        (["views:full:x"], "--pairs 'views:full:x': expected FIRST:SECOND, separated by commas"),
        (["full:views", "views:fulll"], "pair views:fulll: fulll is not among the experiments; nearest: full"),
    ],
)
def test_odd_pairs_are_refused_before_anything_is_read(tmp_path, verb, pairs, message):
    arguments = [verb, "--experiments", "views,full", "--seeds", "0", "--output", str(tmp_path / "out")]
    refused = CliRunner().invoke(app, [*arguments, *(part for pair in pairs for part in ("--pairs", pair))])
    assert isinstance(refused.exception, UsageError)
    assert str(refused.exception) == message


def test_pairs_are_named_on_the_command_line(world):
    places = ["--runs", str(world / "runs"), "--results", str(world / "results")]
    arguments = ["--experiments", "baseline,views,full", "--seeds", "0", "--pairs", "baseline:full,views:full"]
    for _ in range(2):  # a second run replaces what the first one wrote
        for verb in ("report", "study"):
            done = CliRunner().invoke(app, [verb, *places, *arguments, "--output", str(world / verb)])
            assert done.exit_code == 0, done.exception
    for path in (world / "report" / "summary.json", world / "study" / "study.json"):
        written = read_json(path)
        found = {title: list(test_set["comparison"]) for title, test_set in written["test_sets"].items()}
        assert found == {"here": ["baseline - full"], "there": ["views - full"]}


@pytest.mark.parametrize(
    ("verb", "name", "content"),
    [
        ("report", "report.html", "<!doctype html>\n<html>\n<p>mine"),
        ("report", "summary.json", '{"mine": 1}'),
        ("study", "study.md", "# My study"),
        ("study", "study.json", '{"mine": 1}'),
    ],
)
def test_files_that_somebody_else_wrote_are_not_replaced(world, verb, name, content):
    (world / "out").mkdir()
    (world / "out" / name).write_text(content)
    arguments = [verb, "--experiments", "views", "--seeds", "0", "--output", str(world / "out")]
    refused = CliRunner().invoke(app, [*arguments, "--runs", str(world / "runs"), "--results", str(world / "results")])
    assert isinstance(refused.exception, UsageError)
    assert "exists, but was not written by this command" in str(refused.exception)
    assert (world / "out" / name).read_text() == content


def test_a_page_of_an_earlier_version_is_replaced(world):
    page = report(world, ["views"])
    marker = '<meta name="generator" content="vclr report">\n'
    assert marker in page
    (world / "out" / "report.html").write_text(page.replace(marker, ""))
    check_output_folder(world / "out", {}, REPORT)
