"""`vclr compare` on runs of a store, beside folders and without them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.simulated_store import fill_store
from tests.report.report_world import provenance_of, write_data, write_run
from vclr.cli import app
from vclr.errors import UsageError
from vclr.files import read_json, write_json
from vclr.report.stored_experiments import stored_experiments
from vclr.tracking.stored_runs import StoredRun, find_stored_runs, open_client

NOVEL_HEADLINE = "results/novel/mask_ar_100"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> str:
    database = tmp_path_factory.mktemp("compared") / "mlflow.db"
    shutil.copy(empty_database, database)
    uri = f"sqlite:///{database}"
    fill_store(uri, experiments=2, seeds=3, keys=30)
    return uri


def run(*words: str) -> str:
    return CliRunner().invoke(app, ["compare", *words], catch_exceptions=False).output


def test_an_experiment_of_the_store_is_compared_over_seeds(store: str):
    text = run("experiments:/vclr", "--uri", store)
    assert re.search(r"\| exp1 \| \d+\.\d ± \d+\.\d \|", text)
    assert re.search(r"\| exp1 \| `mask_ar@100` \| 3 \| [+-]\d+\.\d \|", text)
    assert "differ only in optimizer.lr (0.0002 instead of 0.0001)" in text
    assert "exp1, data: The same data: train annotations." in text
    assert "exp1, code: The same code: revision f00df00df00d." in text
    assert "Intervals of differences need the draws of `vclr evaluate`; name the folders of results." in text


def test_single_runs_have_the_stored_interval(store: str):
    runs = [one for one in find_stored_runs(store, [], ["vclr"]) if one.name.endswith("seed0")]
    (compared,) = json.loads(run(f"runs:/{runs[0].id}", runs[1].id, "--json", "--uri", store))["test_sets"].values()
    found = compared["runs"][runs[1].id]["novel"]["mask_ar@100"]
    figures = runs[1].figures
    ends = [figures[f"{NOVEL_HEADLINE}/low"], figures[f"{NOVEL_HEADLINE}/high"]]
    assert (found["value"], found["interval"]) == (figures[NOVEL_HEADLINE], ends)
    assert compared["differences"][runs[1].id]["novel"]["mask_ar@100"]["interval"] is None


def test_the_run_of_an_experiment_stands_for_its_seeds(store: str):
    parents = [one for one in find_stored_runs(store, [], ["vclr"]) if "/" not in one.name]
    (compared,) = json.loads(run(*(one.id for one in parents), "--json", "--uri", store))["test_sets"].values()
    assert compared["seeds"] == {"exp0": [0, 1, 2], "exp1": [0, 1, 2]}


def test_folders_and_runs_of_the_store_are_compared_on_the_same_test_set(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    coco = write_data(tmp_path)
    write_run(tmp_path, coco, "full", 0, (4, 4), intervals=True)
    path = tmp_path / "results/full/seed0/metrics.json"
    said = provenance_of(tmp_path / "val.json", tmp_path / "images", protocol="novel")
    write_json(path, read_json(path) | {"provenance": said})
    monkeypatch.chdir(tmp_path)
    shutil.copy(store.removeprefix("sqlite:///"), tmp_path / "mlflow.db")
    client = open_client(f"sqlite:///{tmp_path}/mlflow.db")
    (first, *_) = [one for one in find_stored_runs(store, [], ["vclr"]) if one.name.endswith("seed0")]
    apart = json.loads(run("runs/full/seed0", first.id, "--json"))
    assert len(apart["test_sets"]) == 2, "the bytes of the annotations differ"
    client.set_tag(first.id, "results.novel.test_set", f"elsewhere/val.json sha256 {said['test_set']['sha256']}")
    (compared,) = json.loads(run("runs/full/seed0", first.id, "--json"))["test_sets"].values()
    assert list(compared["runs"]) == ["runs/full/seed0", first.id]
    assert compared["differences"][first.id]["novel"]["mask_ar@100"]["value"]


def test_names_that_the_store_lacks_are_one_line(store: str):
    parent = next(one for one in find_stored_runs(store, [], ["vclr"]) if one.name == "exp0")
    for words, says in (
        (["experiments:/nothing"], "experiments:/nothing: no such run in sqlite:///"),
        ([f"runs:/{'0' * 32}"], "no such run in"),
        (["experiments:/vclr", parent.id], "is named twice"),
    ):
        with pytest.raises(UsageError, match=re.escape(says)):
            run(*words, "--uri", store)


def test_figures_are_told_apart_by_test_set_and_group():
    values = {"results/lvis/novel/mask_ar_100": 1.0, "results/lvis/mask_ar_100": 2.0, "results/uvo/mask_ar_100": 3.0}
    values |= {"results/known/mask_ar_100": 4.0, "results/novel/mask_ar_100": 5.0, "results/novel/mask_ap": 6.0}
    values |= {"results/novel/mask_ar_100/low": 4.5, "results/novel/mask_ar_100/high": 5.5, "results/odd": 7.0}
    tags = {
        f"results.{name}.test_set": f"{name}.json sha256 {name.encode().hex()}" for name in ("lvis", "uvo", "novel")
    }
    found = {
        one.test_set.annotations: one for one in stored_experiments(StoredRun("a", "a", "b", 0, tags, {}, values), "a")
    }
    assert found.keys() == {"lvis.json", "uvo.json", "novel.json"}
    assert found["lvis.json"].groups == {"novel": [{"mask_ar@100": 1.0}]}
    assert found["uvo.json"].groups == {"all": [{"mask_ar@100": 3.0}]}
    assert found["novel.json"].groups == {
        "known": [{"mask_ar@100": 4.0}],
        "novel": [{"mask_ar@100": 5.0, "mask_ap": 6.0}],
    }
    assert found["novel.json"].intervals["novel"] == {"mask_ar@100": (4.5, 5.5)}
    assert found["novel.json"].over_images("novel", "mask_ar@100") == (4.5, 5.5)


def test_settings_of_another_version_are_not_guessed():
    run = StoredRun("a", "a", "b", 0, {}, {"train.gone": "1"}, {NOVEL_HEADLINE: 5.0})
    assert not stored_experiments(run, "a")[0].is_configured
