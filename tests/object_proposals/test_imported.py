"""Imported proposals: a list of results, a json with images of its own, a published json with known objects in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.object_proposals.made_proposals import images_of, random_entries, write_source
from vclr.coco.annotations import load_coco
from vclr.errors import UserError
from vclr.files import write_json
from vclr.object_proposals.imported import import_proposals
from vclr.object_proposals.merge import merge_proposals


def ranked(entries: list[dict[str, Any]], image_id: int, count: int) -> list[tuple[list[float], float]]:
    found = [(one["bbox"], one["score"]) for one in entries if one["image_id"] == image_id]
    return sorted(found, key=lambda one: -one[1])[:count]


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    return write_source(tmp_path / "a.json", [])


@pytest.mark.parametrize("form", ["results", "boxes", "own ids", "without images", "with known objects"])
def test_the_best_of_each_image_are_taken(
    form: str, annotations: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entries = random_entries(5, with_masks=form != "boxes")
    content: Any = entries
    if form == "own ids":
        images = [{**image, "id": image["id"] + 5} for image in images_of(3)]
        content = {"images": images, "annotations": [{**one, "image_id": one["image_id"] + 5} for one in entries]}
    elif form == "without images":
        content = {"annotations": entries}
    elif form == "with known objects":
        known = [{key: one[key] for key in one if key != "score"} for one in random_entries(6, count=2)]
        content = {"images": images_of(3), "annotations": [*known, *entries]}
    write_json(tmp_path / "r.json", content)
    says = import_proposals(tmp_path / "r.json", annotations, tmp_path / "p.json", 5, 0.3, "CutLER", "CC BY-NC", True)
    assert says.endswith("proposals for 3 of 3 images")
    made = load_coco(tmp_path / "p.json")
    assert made["images"] == images_of(3)
    assert made["info"]["source"] == "CutLER" and made["info"]["license"] == "CC BY-NC"
    for image in made["images"]:
        expected = [(box, round(score, 6)) for box, score in ranked(entries, image["id"], 5) if score >= 0.3]
        assert sorted(ranked(made["annotations"], image["id"], 99)) == sorted(expected)
    assert all(("segmentation" in one) == (form != "boxes") for one in made["annotations"])
    assert ("6 annotations without a `score` are no proposals" in caplog.text) == (form == "with known objects")


def test_scores_below_zero_count(annotations: Path, tmp_path: Path) -> None:
    entries = [{**one, "score": one["score"] - 2} for one in random_entries(5)]
    write_json(tmp_path / "r.json", entries)
    import_proposals(tmp_path / "r.json", annotations, tmp_path / "p.json", 50, quiet=True)
    merge_proposals([tmp_path / "p.json"], tmp_path / "m.json", top_k=50, max_iou=1.0, quiet=True)
    for name in ("p", "m"):
        made = [one["score"] for one in load_coco(tmp_path / f"{name}.json")["annotations"]]
        assert sorted(made) == sorted(round(one["score"], 6) for one in entries)


def test_an_import_of_an_import_is_the_same(annotations: Path, tmp_path: Path) -> None:
    write_source(tmp_path / "r.json", random_entries(5))
    import_proposals(tmp_path / "r.json", annotations, tmp_path / "p.json", 9, quiet=True)
    import_proposals(tmp_path / "p.json", annotations, tmp_path / "q.json", 9, quiet=True)
    assert load_coco(tmp_path / "p.json")["annotations"] == load_coco(tmp_path / "q.json")["annotations"]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"image_id": 99, "score": 1, "bbox": [1, 1, 2, 2]}, "image_id 99 is not an image"),
        ({"image_id": 10, "score": "high", "bbox": [1, 1, 2, 2]}, "score 'high' is not a finite number"),
        ({"image_id": 10, "score": 1}, "has no `bbox`"),
        ({"image_id": 10, "score": 1, "bbox": [1, 1, 2]}, r"bbox \[1, 1, 2\] is not \[x, y, width, height\]"),
    ],
)
def test_bad_results_are_one_line(entry: dict[str, Any], says: str, annotations: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "r.json", [entry])
    with pytest.raises(UserError, match=says) as caught:
        import_proposals(tmp_path / "r.json", annotations, tmp_path / "p.json", 5, quiet=True)
    assert "\n" not in str(caught.value) and not (tmp_path / "p.json").exists()
