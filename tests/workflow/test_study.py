"""`snakemake study` in small, from nothing to its page: real trainings, and their numbers in the page."""

from __future__ import annotations

import json
import re
import sys
from statistics import mean, stdev

import pytest

EXPERIMENTS = ("demo_baseline", "demo_views", "demo")
SEEDS = (0, 1)
BATCH = "dataloader.train.total_batch_size=2"  # a quarter of the demo's: the steps are to be real, not to learn much
SETTINGS = f"overrides=[train.max_iter=20,{BATCH},train.log_period=10,tracking.enabled=False]"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_study_runs_to_its_page(checkout):
    study = f"study={{experiments: [{', '.join(EXPERIMENTS)}], seeds: [{', '.join(map(str, SEEDS))}]}}"
    python_path = f"PYTHONPATH={checkout.folder}"
    snakemake = ("env", python_path, sys.executable, "-m", "snakemake", "study", "--cores", "2")
    checkout.run(*snakemake, "--config", "training_threads=1", study, SETTINGS)

    results = checkout.folder / "results"
    written = json.loads((results / "study" / "study.json").read_text())
    page = (results / "study" / "study.md").read_text()
    for name in EXPERIMENTS:
        files = [json.loads((results / name / f"seed{seed}" / "metrics.json").read_text()) for seed in SEEDS]
        cells = [name]
        for group in ("known", "novel"):
            for metric in ("mask_ar@100", "box_ar@100"):
                values = [file["groups"][group][metric] for file in files]
                assert written["experiments"][name]["groups"][group][metric]["values"] == values
                cells.append(rf"{mean(values):.1f} ± {stdev(values):.1f} \[\d+\.\d, \d+\.\d\]")
        row = r" \| ".join(cells)
        assert re.search(rf"^\| {row} \| ", page, re.MULTILINE)
    assert set(written["comparison"]) == {"demo_views - demo_baseline", "demo - demo_views", "demo - demo_baseline"}
    assert written["configuration"]["views.weights"] == [None, {}, {}]
    assert "| `views.weights.natural` | 1.0 | – | – |" in page
