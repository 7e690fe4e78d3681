"""The names of metrics that settings may use are those that an evaluation gives."""

from __future__ import annotations

import pytest

from vclr.catalog.metrics import BOUNDARY, KINDS, MAX_DETS, SHOWN_METRICS, f1_names, format_metrics, metric_names
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


def test_printed_metrics_are_one_line():
    line = "box_ar@10 1.2, box_ar@100 -, mask_ar@10 -, mask_ar@100 3.0"
    assert format_metrics({"box_ar@10": 1.25, "mask_ar@100": 3.0}) == line
    with_boundary = format_metrics({"box_ar@10": 1.25, "mask_ar@100": 3.0, "boundary_ar@100": 2.0})
    assert with_boundary == f"{line}, boundary_ar@100 2.0", "only if it was measured"


@pytest.mark.parametrize(("most", "says"), [(10, "10 predictions"), (50, "50 predictions"), (1, "1 prediction")])
def test_recall_that_a_cap_makes_meaningless_is_not_printed(most: int, says: str):
    found = [{"image_id": 1, "score": 0.5, "bbox": [0, 0, 9, 9 - place / 99]} for place in range(most)]
    metrics = score(TRUTH, found)
    assert metrics["box_ar@10"] == metrics["box_ar@100"] == pytest.approx(100)
    line = "box_ar@10 100.0, box_ar@100 -, mask_ar@10 -, mask_ar@100 -"
    assert format_metrics({**metrics, "max_predictions": most}) == (
        f"{line} (at most {says} per image, so recall at 100 is left out)"
    )


@pytest.mark.parametrize("known", [{"max_predictions": 51}, {"max_predictions": 0}, {}])
def test_other_recall_is_printed(known: dict[str, int]):
    """Of 51 predictions recall at 50 leaves one out; 0 is no cap; older files do not say how many there were."""
    assert "box_ar@100 0.0" in format_metrics({**score(TRUTH, []), **known})


def test_metrics_of_older_files_are_the_students():
    old = {"kind": "eval", "iteration": 3, "mask_ar@100": 1.0}
    assert name_old_metrics(old) == {"kind": "eval", "iteration": 3, "student/mask_ar@100": 1.0}
    for record in (
        {"kind": "eval", "iteration": 3, "teacher/box_ap": 1.0},
        {"kind": "train", "iteration": 3, "lr": 1.0},
    ):
        assert name_old_metrics(record) == record
