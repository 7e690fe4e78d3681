"""The whole workflow on real photos: 100 of COCO, known VOC classes in training, the other classes in evaluation."""

from __future__ import annotations

import json
from statistics import mean

import pytest

from tests.shared import PHOTOS

ITERATIONS = 75


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="needs VCLR_SHARED")
def test_photos_from_json_to_report(checkout):
    raw = checkout.folder / "data" / "raw" / "photos"
    raw.mkdir(parents=True)
    for name in ("images", "annotations_train.json", "annotations_val.json"):
        (raw / name).symlink_to(PHOTOS / name)
    overrides = f"overrides=[train.max_iter={ITERATIONS}]"
    workflow = ("snakemake", "all", "--cores", "2", "--config", "experiments=[photos]", overrides)
    checkout.run(*workflow)

    lines = (checkout.folder / "runs/photos/seed0/metrics.jsonl").read_text().splitlines()
    losses = [record["loss"] for record in map(json.loads, lines) if record["kind"] == "train"]
    assert json.loads(lines[-1])["iteration"] == ITERATIONS
    half = len(losses) // 2
    assert mean(losses[half:]) < 0.95 * losses[0]  # four photos a step: single records are noisy

    metrics = json.loads((checkout.folder / "results/photos/seed0/metrics.json").read_text())
    for group in ("known", "novel"):
        assert metrics["groups"][group]["box_ar@100"] > 0
        assert metrics["groups"][group]["mask_ar@100"] is not None
    page = (checkout.folder / "results/all/report.html").read_text()
    assert page.count("data:image/jpeg") > 10
    assert "Nothing to be done" in checkout.run(*workflow)
