"""What is printed of an evaluation, and what a cap on predictions makes meaningless."""

from __future__ import annotations

import pytest

from vclr.evaluation.caps import format_metrics
from vclr.evaluation.recall import score

TRUTH = {
    "images": [{"id": 1, "file_name": "a.png", "height": 64, "width": 64}],
    "categories": [{"id": 1, "name": "box"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}],
}


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
