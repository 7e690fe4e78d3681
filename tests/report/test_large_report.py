"""The report of a test set as large as COCO's: small enough to send, and quick to open in a real browser."""

import os
import time

import numpy as np
import pytest
from PIL import Image

from benchmarks import scoring
from tests.report.chromium import CHROMIUM, in_chromium
from tests.report.report_world import write_training
from vclr.config import dump_config, load_config
from vclr.files import read_json, write_json
from vclr.report.page import write_report

NUM_IMAGES = 5000
NUM_PREDICTIONS = 6  # per image: as many as the page outlines, however many there are
CLASSES = "{novel: [thing]}"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]


def write_photos(folder):
    """Write one photo, full of detail, under the name of each image."""
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (scoring.HEIGHT, scoring.WIDTH, 3), np.uint8)
    Image.fromarray(noise).save(folder / "0.jpg")
    for number in range(1, NUM_IMAGES):
        os.link(folder / "0.jpg", folder / f"{number}.jpg")


def write_experiment(root, kind):
    settings = ["evaluation.protocol=novel", f"evaluation.groups={CLASSES}"]
    for part in ("train", "test"):
        settings += [f"data.{part}.images={root / 'photos'}", f"data.{part}.annotations={root / f'{part}.json'}"]
    write_training(root, kind, 0, dump_config(load_config(None, [*settings, "views.weights={natural: 1}"])))
    folder = root / "results" / kind / "seed0"
    folder.mkdir(parents=True)
    metrics = {"mask_ar@100": 40.0, "box_ar@100": 50.0}  # the table is small whatever they are
    write_json(folder / "metrics.json", {**metrics, "groups": {"novel": metrics}, "num_images": NUM_IMAGES})
    os.link(root / f"{kind}.json", folder / "predictions.json")


def test_report_of_5000_images_is_small_and_opens_quickly(tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "PREDICTIONS", NUM_PREDICTIONS)
    scoring.simulate(tmp_path, NUM_IMAGES)
    (tmp_path / scoring.TRUTH).rename(tmp_path / "test.json")
    coco = read_json(tmp_path / "test.json")
    few = [one for one in coco["annotations"] if one["image_id"] < 10]
    write_json(tmp_path / "train.json", {**coco, "images": coco["images"][:10], "annotations": few})
    write_photos(tmp_path / "photos")
    for kind in scoring.KINDS:
        write_experiment(tmp_path, kind)
    write_report([*scoring.KINDS], [0], tmp_path / "runs", tmp_path / "results", tmp_path / "out", "large")
    report = tmp_path / "out" / "report.html"
    assert report.stat().st_size < 50e6

    async def visit(page):
        started = time.perf_counter()
        await page.open(report)
        took = time.perf_counter() - started
        return took, await page.run("document.querySelectorAll('.thumbs button').length"), page.errors

    took, num_failures, errors = in_chromium(tmp_path / "profile", visit)
    assert took < 3 and num_failures > 2 * 60 and not errors
