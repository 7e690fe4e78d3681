"""The report from files: whole, self-contained, and true to the numbers."""

import json
import re
from html.parser import HTMLParser

import pytest

from tests.report.report_world import NUM_FOUND, write_result, write_world
from vclr.errors import UserError
from vclr.files import write_json
from vclr.report.facts import describe_leaks
from vclr.report.history import read_history, training_minutes
from vclr.report.page import write_report
from vclr.report.results_table import _mark_best
from vclr.splits.leaks import audit_leaks, read_photo_set

PAIRS = (("views", "baseline"), ("full", "views"))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    coco = write_world(root, seeds=(0, 1))
    write_result(root / "results" / "full" / "untrained", coco, (1, 1))
    write_result(root / "results" / "full" / "proposals", coco, (3, 2))
    return root


def report(world, output, experiments=tuple(NUM_FOUND), seeds=(0,), results="results"):
    write_report(list(experiments), list(seeds), world / "runs", world / results, output, "A <title> & more", PAIRS)
    return (output / "report.html").read_text(), json.loads((output / "summary.json").read_text())


@pytest.fixture(scope="module")
def page_and_summary(world, tmp_path_factory):
    return report(world, tmp_path_factory.mktemp("report"))


class Page(HTMLParser):
    """Collect what the properties below ask for, and check that tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.sources, self.ids, self.tags = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        attributes = dict(attributes)
        self.sources += [attributes[name] for name in ("src", "href", "xlink:href") if name in attributes]
        self.ids += [attributes["id"]] if "id" in attributes else []
        if tag not in ("meta", "img", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(page_and_summary):
    page = Page(page_and_summary[0])
    assert all(source.startswith(("data:image/jpeg;base64,", "#")) for source in page.sources)
    assert not {"link", "iframe"} & set(page.tags)
    assert page.tags.count("script") == 2  # one holds the failures, the other what shows them; none has a source
    assert "@import" not in page_and_summary[0] and not re.search(r"url\((?!#)", page_and_summary[0])
    assert "color-scheme: light dark" in page_and_summary[0] and "light-dark(" in page_and_summary[0]
    assert len(page.ids) == len(set(page.ids))
    # image, ground truth, three experiments, and once more with all predictions; two views
    assert page.tags.count("img") == (6 + 1) * (2 + 3) + 4 * 2
    # overview; legend; loss, loss_class, recall; of two groups, another legend, recall by four kinds, two of precision
    assert page.tags.count("svg") == 1 + 3 + 3 + 3 + 2 * (4 + 2)


def test_text_is_escaped(page_and_summary):
    assert "A &lt;title&gt; &amp; more" in page_and_summary[0]
    assert "<star>" not in page_and_summary[0]


def test_the_summary_holds_the_numbers(page_and_summary):
    summary = page_and_summary[1]
    full = summary["experiments"]["full"]
    assert full["known"]["mask_ar@100"] == full["novel"]["mask_ar@100"] == 66.67
    assert (full["gap"], full["seeds"]) == (0, 1)
    assert summary["experiments"]["baseline"]["gap"] == pytest.approx(66.67, abs=0.01)
    assert summary["untrained"]["novel"]["mask_ar@10"] == 16.67
    assert summary["proposals"]["novel"]["mask_ar@10"] == 33.33
    assert summary["comparison"].keys() == {"views - baseline", "full - views"}
    assert summary["comparison"]["full - views"]["mask_ar@100"] == 16.67


def test_the_page_says_what_the_numbers_say(page_and_summary):
    text = " ".join(re.sub(r"<[^>]*>", " ", page_and_summary[0]).split())
    assert "baseline: recall of 83.3 % on known and 16.7 % on novel objects" in text
    assert "Recall of full on novel objects is 16.7 points higher than that of views (one seed)" in text
    assert "differ only in model.criterion.weight_dict.loss_consistency (1.0 instead of 0.0)." in text
    assert "One seed is no evidence" in text
    assert "object proposals 0 50.0" in text
    assert "66.7 0.0 +50.0" in text  # gap; points above untrained: four objects found instead of one
    assert "4 of 6" not in text and text.count("1 of 1") == 1 + 3 + 4  # one novel object an image, by experiment
    assert "model.criterion.weight_dict.loss_consistency" in text
    assert "revision f00df00df00d" in text and "abacus" in text


def test_the_best_of_a_column_is_bold(page_and_summary):
    rows = re.findall(r"</span>(baseline|views|full)</th>(.*?)</tr>", page_and_summary[0], re.DOTALL)
    bold = {name: re.findall(r'<td class="[^"]*best">([\d.]+)', row) for name, row in rows}
    assert bold == {
        "baseline": ["83.3"] * 3,
        "views": ["83.3"] * 3,
        "full": ["66.7"] * 3 + ["0.0"],
    }


def test_several_seeds_give_spread_and_a_test(world, tmp_path):
    page, summary = report(world, tmp_path, seeds=(0, 1))
    text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    assert summary["experiments"]["full"]["novel"]["mask_ar@100"] == pytest.approx((4 + 3) / 12 * 100, abs=0.01)
    assert "± 11.8" in text
    assert "paired t test p" in text and "over 2 seeds" in text


def test_a_difference_that_may_be_none_is_called_so(world, tmp_path):
    results = tmp_path / "results"
    for name, novel in (("baseline", (20.0, 30.0)), ("views", (31.0, 20.0))):
        for seed, value in enumerate(novel):
            metrics = {"mask_ar@100": value}
            content = {**metrics, "groups": {"known": {"mask_ar@100": 50.0}, "novel": metrics}}
            write_json(results / name / f"seed{seed}" / "metrics.json", content)
            write_json(results / name / f"seed{seed}" / "predictions.json", [])
    write_report(["baseline", "views"], [0, 1], world / "runs", results, tmp_path / "out", "none")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Recall of views on novel objects is 0.5 points higher than that of baseline" in page
    assert "the interval contains 0, so this is no evidence of an effect" in page


def test_one_experiment_without_groups_is_a_report_too(world, tmp_path):
    results = tmp_path / "results"
    write_json(results / "full" / "seed0" / "metrics.json", {"box_ar@100": 12.34, "mask_ar@100": None})
    write_json(results / "full" / "seed0" / "predictions.json", [])
    write_report(["full"], [0], world / "runs", results, tmp_path / "out", "own data")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["experiments"]["full"] == {
        "novel": {"mask_ar@100": None, "mask_ar@10": None, "box_ar@100": 12.34},
        "gap": None,
        "seeds": 1,
    }
    assert Page((tmp_path / "out" / "report.html").read_text()).tags.count("svg") == 1 + 3 + 1 + 4 + 2


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("runs/views/seed0/config.yaml", "runs/views/seed0/config.yaml"),
        ("runs/views/seed0/metrics.jsonl", "runs/views/seed0/metrics.jsonl"),
        ("results/views/seed0/metrics.json", "results/views/seed0/metrics.json"),
        ("results/views/seed0/predictions.json", "results/views/seed0/predictions.json"),
        ("depth/0.png", "view depth .* 0.png"),
        ("images/0.png", "images/0.png"),
        ("val.json", "val.json"),
    ],
)
def test_a_missing_file_is_named_and_nothing_is_written(world, tmp_path, missing, message):
    path = world / missing
    content = path.read_bytes()
    path.unlink()
    try:
        with pytest.raises(UserError, match=message):
            report(world, tmp_path / "out")
    finally:
        path.write_bytes(content)
    assert not (tmp_path / "out").exists()


def test_a_resumed_history_counts_each_step_once(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [("train", 20, 6.0), ("train", 40, 6.0), ("eval", 40, 0.0), ("train", 40, 3.0), ("train", 60, 3.0)]
    records = [{"kind": kind, "iteration": iteration, "step_seconds": value} for kind, iteration, value in lines]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    history = read_history(path)
    assert len(history) == 4
    assert training_minutes(history) == pytest.approx((20 * 6 + 20 * 3 + 20 * 3) / 60)
    path.write_text('{"kind": "train", "iteration": 20}\n{"kind": "tra')  # cut off by a kill
    assert read_history(path) == [{"kind": "train", "iteration": 20}]
    for line in ('{"kind": "tra', "[]", '{"kind": "train"}', '{"kind": "train", "iteration": "20"}'):
        path.write_text(f'{{"kind": "train", "iteration": 20}}\n{line}\n')
        with pytest.raises(UserError, match=r"metrics.jsonl: line 2: is not a record .*; remove the line"):
            read_history(path)


def test_other_work_is_said_of_the_trainings_that_had_it(world, tmp_path):
    history = world / "runs" / "full" / "seed0" / "metrics.jsonl"
    before = history.read_text()
    assert "other programs used" not in report(world, tmp_path / "one")[0]
    history.write_text(before.replace('"step_seconds"', '"other_work": 0.5, "step_seconds"'))
    try:
        page, _ = report(world, tmp_path / "two")
    finally:
        history.write_text(before)
    assert page.count("other programs used") == 1
    assert "full: While this was timed, other programs used " in page


def test_leaks_are_said_of_each_protocol(tmp_path):
    for protocol, images in (("nonvoc", 4), ("uvo", 7)):
        leaks = {"pairs_by": {}, "leaked_images": 0, "compared": ["name"], "training": {"file": "train.json"}}
        leaks["evaluation"] = {"file": f"{protocol}.json", "images": images}
        write_json(tmp_path / "leaks" / f"{protocol}.json", leaks)
    assert describe_leaks(tmp_path) == [
        "0 of 4 images of nonvoc.json are in train.json (compared: name)",
        "0 of 7 images of uvo.json are in train.json (compared: name)",
    ]
    assert describe_leaks(tmp_path / "leaks") == ["not looked for (run vclr audit)"]


def test_leaks_and_licenses_are_said(world, tmp_path):
    page, _ = report(world, tmp_path / "one")
    assert page.count("not looked for (run vclr audit)") == 1
    assert page.count("own data") == 5  # annotations and photos of both parts, a view
    photos = read_photo_set(world / "train.json", world / "images")
    write_json(world / "results" / "full" / "leaks.json", audit_leaks(photos, photos, quiet=True))
    try:
        page, _ = report(world, tmp_path / "two")
        assert "6 of 6 images of train.json are in train.json (6 name, 36 bytes)" in page  # all of one gray
        assert page.count("not looked for (run vclr audit)") == 1
        write_json(world / "results" / "full" / "leaks.json", [])
        with pytest.raises(UserError, match=r"leaks\.json: is not what vclr audit writes"):
            report(world, tmp_path / "three")
    finally:
        (world / "results" / "full" / "leaks.json").unlink()


def test_best_of_a_column_is_marked_only_if_it_is_better():
    column = [("31.2", 31.2), ("29.0", 29.0), ("-", None)]
    assert [is_best for _, is_best in _mark_best(column, max)] == [True, False, False]
    assert not any(is_best for _, is_best in _mark_best([("0.0", 0.0), ("0.0", 0.0)], max))


def test_tables_that_dvc_plots(page_and_summary, world, tmp_path):
    """A column per experiment: the loss by iteration as the means of metrics.jsonl, and recall by group and size."""
    report(world, tmp_path, seeds=(0, 1))
    curves = json.loads((tmp_path / "curves.json").read_text())
    assert [row["iteration"] for row in curves] == sorted({row["iteration"] for row in curves})
    for name in NUM_FOUND:
        folders = [world / "runs" / name / f"seed{seed}" for seed in (0, 1)]
        last = [
            [record for record in read_history(folder / "metrics.jsonl") if record["kind"] == "train"][-1]
            for folder in folders
        ]
        assert curves[-1][name] == pytest.approx(sum(record["loss"] for record in last) / 2)
    rows = json.loads((tmp_path / "recall_by_size.json").read_text())
    assert {row["objects"].split()[0] for row in rows} == {"known", "novel"}
    metrics = json.loads((world / "results/full/seed0/metrics.json").read_text())["groups"]
    report(world, tmp_path)
    rows = json.loads((tmp_path / "recall_by_size.json").read_text())
    assert {f"{row['objects']}: {row['full']:.3f}" for row in rows} == {
        f"{group} {size}: {metrics[group][f'mask_ar@100_{size}']:.3f}"
        for group in ("known", "novel")
        for size in ("small", "medium", "large")
        if metrics[group].get(f"mask_ar@100_{size}") is not None
    }
