"""Ranked proposals: what looks like the known objects comes first; nothing else changes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vclr.coco.annotations import load_coco
from vclr.errors import UserError
from vclr.files import write_json
from vclr.object_proposals.objectness import FEATURES, fit_objectness, measure_features
from vclr.object_proposals.proposals_file import describe_mask
from vclr.object_proposals.rank import rank_proposals
from vclr.pictures import write_png

HEIGHT, WIDTH = 60, 80


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Six photos of a bright square on noise; proposals are the square, scored worst, and seven windows of noise."""
    random = np.random.default_rng(0)
    images, objects, proposals = [], [], []
    for number in range(1, 7):
        photo = random.integers(60, 110, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        top, left = random.integers(5, 30), random.integers(5, 50)
        square = np.zeros((HEIGHT, WIDTH), bool)
        square[top : top + 20, left : left + 20] = True
        photo[square] = (230, 200, 40)
        write_png(tmp_path / "images" / f"{number}.png", photo)
        images.append({"id": number, "file_name": f"{number}.png", "height": HEIGHT, "width": WIDTH})
        windows = []
        while len(windows) < 7:
            window = np.zeros((HEIGHT, WIDTH), bool)
            y, x, h, w = random.integers((0, 0, 8, 8), (50, 70, 30, 30))
            window[y : y + h, x : x + w] = True
            if (window & square).sum() < 0.15 * (window | square).sum():
                windows.append(window)
        scores = np.linspace(0.2, 0.9, 8)
        for mask, score in zip([square, *windows], scores, strict=True):
            entry = {**describe_mask(mask, float(score)), "image_id": number}
            proposals.append({**entry, "id": len(proposals) + 1})
        objects.append({**describe_mask(square, 1.0), "image_id": number, "id": number})
    categories = [{"id": 1, "name": "object"}]
    write_json(tmp_path / "p.json", {"images": images, "annotations": proposals, "categories": categories})
    known = {"images": images[:4], "annotations": objects[:4], "categories": categories}
    write_json(tmp_path / "known.json", known)
    return tmp_path


def rank(world: Path, **options: Any) -> dict[str, Any]:
    rank_proposals(
        world / "p.json",
        world / "images",
        world / "known.json",
        world / "q.json",
        quiet=True,
        **{"top_k": 30, **options},
    )
    return load_coco(world / "q.json")


def test_objects_of_photos_that_nobody_annotated_come_first(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vclr.object_proposals.objectness.PENALTY", 1.0)  # the photos are few
    ranked = rank(world)
    boxes = [one["bbox"] for one in load_coco(world / "p.json")["annotations"]]
    for number, image in enumerate(ranked["images"]):
        found = [one for one in ranked["annotations"] if one["image_id"] == image["id"]]
        assert found[0]["bbox"] == boxes[8 * number]
        assert [one["score"] for one in found] == sorted((one["score"] for one in found), reverse=True)
    assert [*ranked["info"]["weights"]] == [*FEATURES]


def test_only_scores_and_order_change(world: Path) -> None:
    def shapes(coco: dict[str, Any]) -> list[Any]:
        return sorted(
            (one["image_id"], one["bbox"], one["area"], str(one["segmentation"])) for one in coco["annotations"]
        )

    ranked = rank(world)
    assert shapes(ranked) == shapes(load_coco(world / "p.json"))
    before = (world / "q.json").read_bytes()
    rank(world)
    assert (world / "q.json").read_bytes() == before
    assert len(rank(world, top_k=3)["annotations"]) == 18


def test_features_are_finite_for_any_proposal() -> None:
    random = np.random.default_rng(0)
    for height, width in ((1, 1), (20, 20), (7, 300)):
        image = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
        boxes = [[0, 0, width, height], [width / 2, height / 2, 0.2, 0.2], [width - 0.4, 0, 0.4, 0.4]]
        features = measure_features(image, [{"bbox": box} for box in boxes], np.array([1.0, 0.5, 1e-3]))
        assert features.shape == (3, len(FEATURES)) and np.isfinite(features).all()
    empty = measure_features(image, [], np.empty(0))
    assert empty.shape == (0, len(FEATURES))


def test_without_evidence_the_source_decides() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(40, len(FEATURES)))
    model = fit_objectness(features, random.random(40) < 0.5)
    assert np.corrcoef(model.score(features), features[:, 0])[0, 1] > 0.8


@pytest.mark.parametrize(("num_known", "says"), [(0, "no proposal for the annotated photos finds a known object")])
def test_nothing_to_learn_from_is_one_line(num_known: int, says: str, world: Path) -> None:
    known = load_coco(world / "known.json")
    write_json(world / "known.json", {**known, "annotations": known["annotations"][:num_known]})
    with pytest.raises(UserError, match=re.escape(says)) as caught:
        rank(world)
    assert "\n" not in str(caught.value) and not (world / "q.json").exists()


def test_a_photo_that_cannot_be_read_is_left_out(world: Path) -> None:
    (world / "images" / "6.png").write_bytes(b"not an image")
    ranked = rank(world)
    assert [image["id"] for image in ranked["images"]] == [1, 2, 3, 4, 5]
    assert [*ranked["info"]["failed"]] == ["6.png"]
