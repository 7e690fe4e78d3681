"""DVC sees what Snakemake made, and says what changed."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest

from vclr.files import write_json
from vclr.generate.toy import write_toy_world


def write_summary(checkout, recall):
    """Write the metrics as a report does: by a new file. That of before may be one with the cache's."""
    summary = {"experiments": {"demo": {"novel": {"mask_ar@100": recall}}}}
    write_json(checkout.folder / "results/demo/summary.json", summary)


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
    recorded.write("configs/experiment/demo.yaml", path.read_text().replace("experiment: demo", "experiment: another"))
    assert "configs/experiment/demo.yaml" in recorded.run("dvc", "status")
    difference = recorded.run("dvc", "params", "diff")
    assert "tracking.experiment" in difference
    assert "another" in difference
    write_summary(recorded, 31.5)
    changed = json.loads(recorded.run("dvc", "metrics", "diff", "--json"))
    (values,) = changed["results/demo/summary.json"].values()
    assert values == {"old": 25.0, "new": 31.5, "diff": 6.5}


def test_plots_are_drawn_from_what_the_report_writes(finished):
    write_json(finished.folder / "results/demo/curves.json", [{"iteration": 9, "demo_views": 4.5}])
    write_json(finished.folder / "results/demo/recall_by_size.json", [{"objects": "novel small", "demo": 12.5}])
    finished.run("git", "init", "--quiet")
    shown = finished.run("dvc", "plots", "show", "--json")
    assert '"Training loss"' in shown and "4.5" in shown
    assert '"Recall by object size"' in shown and "12.5" in shown


def test_lost_data_comes_back_from_the_cache(recorded):
    annotations = recorded.folder / "data/raw/toy/annotations_val.json"
    before = annotations.read_text()
    annotations.write_text("cut o")
    assert "data" in recorded.run("dvc", "status")
    recorded.run("dvc", "checkout", "--force", "--quiet")
    assert annotations.read_text() == before


# --- files that are second names of those in the cache ---------------------------------------------------------------


def read_files(checkout):
    """Return inode and time of each file of data/ that is not empty."""
    files = [path for path in (checkout.folder / "data").rglob("*") if path.is_file() and path.stat().st_size]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def damaged_in_cache(checkout):
    """List the files of the cache that are not what their names say."""
    objects = [path for path in (checkout.folder / ".dvc/cache/files/md5").rglob("*") if path.is_file()]
    assert objects
    names = {path: path.parent.name + path.name.removesuffix(".dir") for path in objects}
    return [name for path, name in names.items() if hashlib.md5(path.read_bytes()).hexdigest() != name]


def test_recording_leaves_files_as_they_are(finished):
    before = read_files(finished)
    finished.run("git", "init", "--quiet")
    finished.run("dvc", "add", "--quiet", "data")
    finished.run("dvc", "commit", "--force", "--quiet")
    assert read_files(finished) == before
    assert all(path.stat().st_mode & 0o200 for path in before)


def test_checkout_links_to_the_cache_and_leaves_nothing_to_do(recorded):
    shutil.rmtree(recorded.folder / "data")
    recorded.run("dvc", "checkout", "--quiet")
    assert all(path.stat().st_nlink > 1 for path in read_files(recorded))
    assert recorded.plan("demo") == {}
    assert "up to date" in recorded.run("dvc", "status")


@pytest.mark.slow
def test_what_is_made_again_does_not_reach_the_cache(checkout):
    """Snakemake and our commands replace a file; one that is written in place would change in the cache too."""
    small = {"num_train": 4, "num_val": 2, "size": 64, "quiet": True}
    write_toy_world(checkout.folder / "data", **small)
    targets = ("data/splits/toy_train_toy_known.json", "data/views/toy/edge/manifest.json")
    checkout.run("snakemake", *targets, "--cores", "1")
    checkout.run("git", "init", "--quiet")
    checkout.run("dvc", "add", "--quiet", "data")
    shutil.rmtree(checkout.folder / "data")
    checkout.run("dvc", "checkout", "--quiet", "data")
    linked = read_files(checkout)
    assert all(path.stat().st_nlink > 1 for path in linked)

    checkout.run("snakemake", *targets, "--cores", "1", "--forcerun", "split", "views")
    write_toy_world(checkout.folder / "data", **small, seed=1)
    again = read_files(checkout)
    assert again.keys() == linked.keys()
    assert not [path for path in linked if again[path][0] == linked[path][0]]
    assert damaged_in_cache(checkout) == []
    assert "data" in checkout.run("dvc", "status", "data")
    checkout.run("dvc", "commit", "--force", "--quiet", "data")
    assert "up to date" in checkout.run("dvc", "status", "data")
    assert damaged_in_cache(checkout) == []
