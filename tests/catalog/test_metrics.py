"""The names of metrics that settings may use are those that an evaluation gives."""

from __future__ import annotations

import pytest

from vclr.catalog.metrics import BOUNDARY, KINDS, MAX_DETS, SHOWN_METRICS, f1_names, metric_names
from vclr.catalog.weights import name_old_metrics
from vclr.evaluation.recall import score

TRUTH = {
    "images": [{"id": 1, "file_name": "a.png", "height": 64, "width": 64}],
    "categories": [{"id": 1, "name": "box"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}],
}


@pytest.mark.parametrize("max_dets", [MAX_DETS, (7, 200), (100, 100, 1)])
def test_names_are_those_of_an_evaluation(max_dets: tuple[int, ...]):
    names = [name for kind in KINDS for name in (*metric_names(kind, max_dets), *f1_names(kind))]
    assert names == list(score(TRUTH, [], max_dets)), "in this order too"
    shown = {name for name in SHOWN_METRICS if not name.startswith(BOUNDARY)}
    assert max_dets != MAX_DETS or shown < {*names}


def test_metrics_of_older_files_are_the_students():
    old = {"kind": "eval", "iteration": 3, "mask_ar@100": 1.0}
    assert name_old_metrics(old) == {"kind": "eval", "iteration": 3, "student/mask_ar@100": 1.0}
    for record in (
        {"kind": "eval", "iteration": 3, "teacher/box_ap": 1.0},
        {"kind": "train", "iteration": 3, "lr": 1.0},
    ):
        assert name_old_metrics(record) == record
