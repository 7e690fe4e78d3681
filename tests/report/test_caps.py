"""Recall that a cap on predictions makes meaningless, and columns that only some experiments have, in all tables."""

import pytest

from tests.report.report_world import write_result, write_world
from vclr.catalog.metrics import detections_of
from vclr.files import read_json, write_json
from vclr.report.findings import findings
from vclr.report.page import write_report
from vclr.report.read_experiments import read_experiments
from vclr.report.results_table import results_table
from vclr.report.study import markdown_results, summarize_study, write_study
from vclr.report.summary import summarize

NAMES = ["baseline", "views", "full"]


@pytest.fixture
def world(tmp_path):
    coco = write_world(tmp_path)
    write_result(tmp_path / "results" / "full" / "proposals", coco, (3, 2))
    return tmp_path


def change(world, name, **changes):
    """Change the metrics of an experiment; None takes one away."""
    for path in (world / "results" / name).rglob("metrics.json"):
        content = read_json(path)
        for metrics in (content, *content["groups"].values()):
            metrics |= changes
            for key in [key for key, value in changes.items() if value is None]:
                del metrics[key]
        write_json(path, content)


def read(world):
    return read_experiments(NAMES, [0], world / "runs", world / "results")


def table_of(world):
    return results_table(read(world), {name: [[]] for name in NAMES})


def test_a_value_that_a_cap_makes_meaningless_is_left_out(world):
    plain = table_of(world)
    assert (plain["metrics"], plain["caps"]) == (["mask_ar@100", "mask_ar@10", "box_ar@100"], [])
    change(world, "views", max_predictions=50)
    change(world, "full", max_predictions=51)
    table = table_of(world)
    assert table["metrics"] == [*plain["metrics"], "box_ar@10"], "so that each experiment has a figure of boxes"
    cells = {row["name"]: [text for text, _ in row["cells"]] for row in table["rows"]}
    assert cells["views"][:4] == ["–", "83.3", "–", "83.3"]
    assert "–" not in cells["full"] + cells["baseline"]
    assert table["caps"] == ["views: at most 50 predictions per image, so recall at 100 is left out."]
    assert table["rows"][1]["cells"][-1] == plain["rows"][1]["cells"][-1], "equal at 10 detections"
    assert (plain["main"], table["main"]) == ("mask_ar@100", "mask_ar@10")
    lines = markdown_results(read(world))
    assert lines[3] == "| views | – | 83.3 | – | 83.3 | – | 50.0 | – | 50.0 | 33.3 |"
    assert lines[-1] == table["caps"][0]


def test_a_column_that_is_left_out_for_all_disappears(world):
    for name in NAMES:
        change(world, name, max_predictions=9)
    table = table_of(world)
    assert table["metrics"] == ["mask_ar@10", "box_ar@10"]
    assert table["caps"][-1] == "object proposals: at most 9 predictions per image, so recall at 100 is left out."
    assert all(text != "–" for row in table["rows"] for text, _ in row["cells"])
    head, *_ = markdown_results(read(world))
    assert head.endswith("| gap |") and head.count("@10`") == 4
    assert all("@100" not in sentence for sentence in findings(read(world)))


@pytest.mark.slow
def test_the_page_says_the_cap_and_the_numbers_stay(world, tmp_path):
    numbers = summarize(read(world))
    for name in NAMES:
        change(world, name, max_predictions=9)
    out = tmp_path / "out"
    said = write_report(NAMES, [0], world / "runs", world / "results", out, "Title")
    page = " ".join((out / "report.html").read_text().split())
    assert "mask AR@10</th>" in page and "AR@100</th>" not in page
    assert "Gap: known minus novel mask_ar@10, the smaller the better." in page
    sentence = "full: at most 9 predictions per image, so recall at 100 is left out."
    assert sentence in said and sentence in page
    assert read_json(out / "summary.json") == numbers
    write_study(NAMES, [0], world / "runs", world / "results", out)
    study = read_json(out / "study.json")["experiments"]["full"]["groups"]["novel"]
    assert "max_predictions" not in study and study["mask_ar@100"]["mean"] == pytest.approx(66.667, abs=0.01)


def test_no_test_is_of_recall_that_is_left_out(world):
    change(world, "views", max_predictions=50)
    lines = summarize_study(read(world)).splitlines()
    tested = [line.split(" | ")[1] for line in lines if "views - baseline |" in line]
    assert "`mask_ar@10`" in tested and not [name for name in tested if "@100" in name]


def test_the_smallest_measured_number_from_ten_on_stays(world):
    fewer = [key for key in read(world)[0].groups["novel"][0] if 1 < detections_of(key) < 100]
    for name in NAMES:
        change(world, name, max_predictions=1, **dict.fromkeys(fewer))
    assert (table_of(world)["metrics"], table_of(world)["caps"]) == (["mask_ar@100", "box_ar@100"], [])


def test_boxes_have_a_column_whatever_the_cap(world):
    masks = [key for key in read(world)[0].groups["novel"][0] if key.startswith("mask_")]
    for name in NAMES:
        change(world, name, max_predictions=1, **dict.fromkeys(masks))
    assert table_of(world)["metrics"] == ["box_ar@10"]
    assert "`box_ar@10`" in markdown_results(read(world))[0]


def test_boundaries_have_a_column_if_any_experiment_measured_them(world):
    assert "boundary_ar@100" not in str(summarize(read(world)))
    change(world, "full", **{"boundary_ar@100": 12.3, "boundary_ar@10": 11.0})
    change(world, "views", max_predictions=50)
    table = table_of(world)
    assert table["metrics"][-1] == "boundary_ar@100"
    assert [row["cells"][4][0] for row in table["rows"]] == ["–", "–", "12.3"]
    assert "known `boundary_ar@100`" in markdown_results(read(world))[0]
    assert summarize(read(world))["experiments"]["full"]["novel"]["boundary_ar@100"] == 12.3
