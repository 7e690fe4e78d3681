"""DVC sees what Snakemake made, and says what changed."""

from __future__ import annotations

import json

import pytest


def write_summary(checkout, recall):
    checkout.write(
        "results/demo/summary.json", json.dumps({"experiments": {"demo": {"novel": {"mask_ar@100": recall}}}})
    )


@pytest.fixture
def recorded(finished):
    """A finished demo, recorded in DVC and committed."""
    write_summary(finished, 25.0)
    finished.run("git", "init", "--quiet")
    finished.run("dvc", "add", "--quiet", "data")
    finished.run("dvc", "commit", "--force", "--quiet")
    finished.run("git", "add", "--all")
    finished.run("git", "commit", "--quiet", "--message", "demo")
    return finished


def test_recorded_demo_is_clean(recorded):
    assert "up to date" in recorded.run("dvc", "status")
    assert "Stage 'demo' didn't change" in recorded.run("dvc", "repro")
    assert recorded.plan("demo") == {}  # recording gave no file a new time
    assert recorded.run("git", "status", "--porcelain") == ""


def test_git_holds_no_bytes_of_data(recorded):
    tracked = recorded.run("git", "ls-files").splitlines()
    assert "data.dvc" in tracked
    assert "dvc.lock" in tracked
    assert not [path for path in tracked if path.split("/")[0] in ("data", "runs", "results", "logs", ".snakemake")]


def test_changed_parameter_and_metric_are_shown(recorded):
    path = recorded.folder / "configs/experiment/demo.yaml"
    recorded.write("configs/experiment/demo.yaml", path.read_text() + "\ntracking:\n  experiment: another\n")
    assert "configs/experiment/demo.yaml" in recorded.run("dvc", "status")
    difference = recorded.run("dvc", "params", "diff")
    assert "tracking.experiment" in difference
    assert "another" in difference
    write_summary(recorded, 31.5)
    changed = json.loads(recorded.run("dvc", "metrics", "diff", "--json"))
    (values,) = changed["results/demo/summary.json"].values()
    assert values == {"old": 25.0, "new": 31.5, "diff": 6.5}


def test_lost_data_comes_back_from_the_cache(recorded):
    annotations = recorded.folder / "data/raw/toy/annotations_val.json"
    before = annotations.read_text()
    annotations.write_text("cut o")
    assert "data" in recorded.run("dvc", "status")
    recorded.run("dvc", "checkout", "--force", "--quiet")
    assert annotations.read_text() == before
