"""The report says whose results it shows, the student's or the teacher's, and which trainings ended early."""

from __future__ import annotations

import json

import pytest

from tests.report.report_world import provenance_of, settings_of, write_data, write_result, write_training
from vclr.errors import UserError
from vclr.report.curves import draw_curves
from vclr.report.differences import differing_settings
from vclr.report.page import write_report
from vclr.report.read_experiments import read_experiments

STOPPING = ("train.eval_period=10", "train.best_metric=teacher/mask_ar@100", "train.early_stopping.patience=1")


def write_seed(root, coco, name, seed, weights, *settings):
    write_training(root, name, seed, settings_of(root, name, *settings))
    provenance = provenance_of(root / "val.json", root / "images") | {"weights": weights}
    write_result(root / "results" / name / f"seed{seed}", coco, (4, 4), provenance=provenance)


def read(root, names, seeds=(0,)):
    return read_experiments(list(names), list(seeds), root / "runs", root / "results")


def test_weights_that_differ_are_a_difference_and_are_said(tmp_path):
    coco = write_data(tmp_path)
    for name, weights in (("views", "student"), ("full", "teacher"), ("baseline", None)):
        write_seed(tmp_path, coco, name, 0, weights)
    views, full, baseline = read(tmp_path, ("views", "full", "baseline"))
    assert differing_settings(views, full)["evaluated weights"] == ["student", "teacher"]
    assert "evaluated weights" not in differing_settings(views, baseline)  # not recorded: as the settings say
    write_report(["views", "full"], [0], tmp_path / "runs", tmp_path / "results", tmp_path / "out", "Report")
    page = (tmp_path / "out" / "report.html").read_text()
    assert '<th scope="row">evaluated weights</th><td class="text wrap">views: student; full: teacher</td>' in page
    assert "evaluated weights" in page.partition('class="findings"')[2].partition("</div>")[0]


def test_an_experiment_of_both_is_refused(tmp_path):
    coco = write_data(tmp_path)
    for seed, weights in enumerate(("student", "teacher")):
        write_seed(tmp_path, coco, "full", seed, weights)
    with pytest.raises(
        UserError, match=r"seed1/metrics\.json: was made with the teacher's weights, \S*seed0\S* with the student's; "
    ):
        read(tmp_path, ["full"], (0, 1))


def test_an_early_end_is_said(tmp_path):
    coco = write_data(tmp_path)
    for seed, values in enumerate(((5.0, 6.0, 7.0, 8.0), (5.0, 6.0, 6.0))):
        write_seed(tmp_path, coco, "full", seed, "teacher", *STOPPING)
        with (tmp_path / "runs/full" / f"seed{seed}" / "metrics.jsonl").open("w") as file:
            for number, value in enumerate(values, start=1):
                record = {"kind": "eval", "iteration": 10 * number, "teacher/mask_ar@100": value}
                file.write(json.dumps(record) + "\n")
    assert read(tmp_path, ["full"], (0, 1))[0].iterations == [40, 30]
    write_report(["full"], [0, 1], tmp_path / "runs", tmp_path / "results", tmp_path / "out", "Report")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "full: the training of seed 1 ended early, at iteration 30 of 40, because teacher/mask_ar@100 no" in page
    assert page.count("ended early") == 1
    assert "<td>30 to 40</td>" in page


def test_curves_of_both_say_which_is_which():
    history = [
        {"kind": "eval", "iteration": number, "student/mask_ar@100": 1.0 * number, "teacher/mask_ar@100": 2.0 * number}
        for number in (1, 2, 3)
    ]
    names = [
        name for name in ("student", "teacher") for svg in draw_curves({"full": [history]}) if f"of the {name}" in svg
    ]
    assert names == ["student", "teacher"]
    without_teacher = [{"kind": "eval", "iteration": 1, "student/mask_ar@100": 1.0}]
    (svg,) = draw_curves({"full": [without_teacher]})
    assert 'aria-label="mask_ar@100 of the student by iteration"' in svg
