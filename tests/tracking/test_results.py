"""Results of evaluations in the MLflow run of their training."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.tracking.folders import begin, deliver, describe, end, parent_of, stored_run, stored_runs
from vclr.config import Config
from vclr.files import sha256
from vclr.tracking import parent_runs
from vclr.tracking.figures import select_probe, select_results
from vclr.tracking.locate_checkpoint import locate
from vclr.tracking.registered_models import model_of
from vclr.tracking.results import store_probe, store_report, store_results
from vclr.tracking.run_files import RunFiles
from vclr.tracking.sync import Deliveries


def metrics_of(run_dir: Path, protocol: str, recall: float, **groups: float) -> dict[str, Any]:
    return {
        "mask_ar@100": recall,
        "box_ap": None,
        "mask_ar@1": 1.0,
        "groups": {name: {"mask_ar@100": value} for name, value in groups.items()},
        "provenance": {
            "checkpoint": {"path": str(run_dir / "checkpoints/last.pt"), "sha256": "ab", "iteration": 900},
            "weights": "teacher",
            "test_set": {"annotations": f"{protocol}.json", "sha256": "cd", "images": "images"},
            "protocol": protocol,
            "config": "ef",
        },
    }


def test_keys_bear_the_protocol_or_the_group(run_dir: Path):
    groups = {"known": 30.0, "novel": 20.0}
    assert select_results(metrics_of(run_dir, "", 25.0)) == {"results/all/mask_ar_100": 25.0}
    assert select_results(metrics_of(run_dir, "uvo", 25.0)) == {"results/uvo/mask_ar_100": 25.0}
    of_groups = {f"results/{name}/mask_ar_100": value for name, value in groups.items()}
    assert select_results(metrics_of(run_dir, "novel", 20.0, **groups)) == of_groups
    of_own_set = {f"results/mine/{name}/mask_ar_100": value for name, value in groups.items()}
    assert select_results(metrics_of(run_dir, "mine", 25.0, **groups)) == {
        "results/mine/mask_ar_100": 25.0,
        **of_own_set,
    }


def test_each_protocol_reaches_the_run_of_the_training_once(config: Config, run_dir: Path):
    end(begin(config, run_dir))
    for protocol, recall in (("nonvoc", 20.0), ("uvo", 30.0), ("uvo", 30.0)):
        store_results(config, metrics_of(run_dir, protocol, recall))
    run, client = stored_run(config), MlflowClient(config.tracking.uri)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"results/nonvoc/mask_ar_100": 20.0, "results/uvo/mask_ar_100": 30.0}
    assert [point.step for point in client.get_metric_history(run.info.run_id, "results/uvo/mask_ar_100")] == [0]
    assert run.data.tags["results.uvo.test_set"] == "uvo.json sha256 cd"
    assert run.data.tags["results.uvo.weights"] == "teacher"
    assert run.data.tags["results.uvo.iteration"] == "900"


def test_what_was_evaluated_on_is_among_the_data_sets_of_the_run(config: Config, run_dir: Path):
    end(begin(config, run_dir))
    for protocol in ("nonvoc", "uvo", "uvo"):
        metrics = metrics_of(run_dir, protocol, 20.0)
        metrics["provenance"]["test_set"]["annotations"] = f"data/{protocol}.json"
        store_results(config, metrics)
    inputs = stored_run(config).inputs.dataset_inputs
    tested = {
        (one.dataset.name, one.dataset.digest, json.loads(one.dataset.source)["uri"], one.tags[0].value)
        for one in inputs
        if one.dataset.name.startswith("test_")
    }
    assert tested == {
        (f"test_annotations {name}.json", "cd", f"data/{name}.json", "evaluation") for name in ("nonvoc", "uvo")
    }
    assert len(inputs) == 2 + 2, "the training's own are there too, none twice"


def test_a_report_is_an_artifact_of_the_runs_that_it_compares(config: Config, run_dir: Path, tmp_path: Path):
    end(begin(config, run_dir))
    other = run_dir.with_name("not_tracked")
    other.mkdir()
    page = tmp_path / "results/demo/report.html"
    page.parent.mkdir(parents=True)
    for text in ("first", "second"):
        page.write_text(text)
        store_report([run_dir, other], [page])
    (stored,) = MlflowClient(config.tracking.uri).list_artifacts(stored_run(config).info.run_id, "reports/demo")
    assert (stored.path, stored.file_size) == ("reports/demo/report.html", len("second"))
    assert not [*other.iterdir()]


def test_a_new_evaluation_replaces_the_one_before(config: Config, run_dir: Path):
    begin(config, run_dir)
    for recall in (20.0, 10.0):
        store_results(config, metrics_of(run_dir, "uvo", recall))
    assert stored_run(config).data.metrics == {"results/uvo/mask_ar_100": 10.0}


def test_an_evaluation_of_one_group_replaces_all_figures_of_the_groups(config: Config, run_dir: Path):
    """A protocol that is one of the groups has the keys of all; of two such evaluations the newer one counts whole."""
    begin(config, run_dir)
    store_results(config, metrics_of(run_dir, "novel", 20.0, known=30.0, novel=20.0))
    student = metrics_of(run_dir, "known", 3.0, known=3.0, novel=2.0)
    student["provenance"]["weights"] = "student"
    store_results(config, student)
    assert stored_run(config).data.metrics == {"results/known/mask_ar_100": 3.0, "results/novel/mask_ar_100": 2.0}


def test_the_headline_has_its_interval(run_dir: Path):
    metrics = metrics_of(run_dir, "uvo", 20.0) | {"intervals": {"mask_ar@100": [18.0, 23.0], "mask_ar@10": [1.0, 2.0]}}
    key = "results/uvo/mask_ar_100"
    assert select_results(metrics) == {key: 20.0, f"{key}/low": 18.0, f"{key}/high": 23.0}


def test_an_experiment_has_the_means_over_its_seeds(config: Config, run_dir: Path):
    for seed, recall in enumerate((20.0, 26.0)):
        folder = run_dir.with_name(f"seed{seed}")
        files = begin(config, folder, seed)
        metrics = metrics_of(folder, "uvo", recall) | {"intervals": {"mask_ar@100": [recall - 1, recall + 1]}}
        store_results(config, metrics)
        end(files)
        deliver(config, folder)
    parent = parent_of(config)
    assert parent.data.metrics == {"results/uvo/mask_ar_100": 23.0, "num_seeds": 2.0}
    assert parent.info.status == "FINISHED"


def test_means_are_right_if_the_clock_of_another_machine_is_ahead(
    config: Config, run_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    clock = time.time
    for seed, ahead in enumerate((300.0, 0.0)):
        folder = run_dir.with_name(f"seed{seed}")
        end(begin(config, folder, seed))
        with monkeypatch.context() as patch:
            patch.setattr(parent_runs.time, "time", lambda ahead=ahead: clock() + ahead)
            store_results(config, metrics_of(folder, "uvo", 20.0 + seed))
    assert parent_of(config).data.metrics == {"results/uvo/mask_ar_100": 20.5, "num_seeds": 2.0}


def test_only_the_newest_training_of_a_seed_counts(config: Config, run_dir: Path):
    for name, seed, recall in (("moved_aside", 0, 1.0), ("seed0", 0, 20.0), ("seed1", 1, 26.0)):
        folder = run_dir.with_name(name)
        own = replace(config, train=replace(config.train, seed=seed, output_dir=str(run_dir.with_name(f"seed{seed}"))))
        folder.mkdir(exist_ok=True)
        describe(own, folder)
        files = RunFiles(folder)
        files.begin_run("training")
        files.begin_attempt({})
        end(files)
        store_results(config, metrics_of(folder, "uvo", recall))
    assert len(stored_runs(config)) == 3
    assert parent_of(config).data.metrics["results/uvo/mask_ar_100"] == 23.0
    assert parent_of(config).data.metrics["num_seeds"] == 2.0


def test_trainings_that_end_at_once_have_the_right_means(
    config: Config, run_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    """The second is delivered after the first has read what the means are of, and before it writes them."""
    folders = [run_dir.with_name(f"seed{seed}") for seed in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(Deliveries, "deliver_or_warn", lambda *_: None)
        for seed, folder in enumerate(folders):
            end(begin(config, folder, seed))
            store_results(config, metrics_of(folder, "uvo", 20.0 + seed))
    means, calls = parent_runs._means, iter(range(100))

    def means_while_another_ends(children: Sequence[Run]) -> dict[str, float]:
        if next(calls) == 0:
            deliver(config, folders[1])
        return means(children)

    monkeypatch.setattr(parent_runs, "_means", means_while_another_ends)
    deliver(config, folders[0])
    assert parent_of(config).data.metrics == {"results/uvo/mask_ar_100": 20.5, "num_seeds": 2.0}


def test_a_run_has_at_most_a_hundred_keys(config: Config, run_dir: Path):
    begin(config, run_dir)
    values = dict.fromkeys(("mask_ar@100", "mask_ar@10", "mask_ap", "box_ar@100", "box_ar@10", "box_ap"), 1.0)
    protocols = ("nonvoc", "lvis", "uvo", "objects365", "mine", "yours", "theirs")
    for protocol in (*protocols, *protocols):
        metrics = metrics_of(run_dir, protocol, 1.0) | values
        metrics["groups"] = {
            name: values | {"intervals": {"mask_ar@100": [0, 2]}} for name in ("known", "novel", "all")
        }
        metrics["intervals"] = {"mask_ar@100": [0.0, 2.0]}
        store_results(config, metrics)
    stored = stored_run(config).data.metrics
    assert len(stored) <= 44
    assert {f"results/{protocol}/novel/mask_ar_100" for protocol in protocols} <= stored.keys()
    groups = ("", "/known", "/novel", "/all")
    bounds = {f"results/nonvoc{group}/mask_ar_100/high" for group in groups}
    assert bounds <= stored.keys(), "of the first test set, each group has its interval"
    assert {f"results/{protocol}/novel/mask_ar_100/low" for protocol in protocols} <= stored.keys()
    lows = {key.removesuffix("/low") for key in stored if key.endswith("/low")}
    assert lows == {key.removesuffix("/high") for key in stored if key.endswith("/high")}


def test_what_goes_wrong_is_one_warning(config: Config, run_dir: Path, caplog: pytest.LogCaptureFixture):
    store_results(config, metrics_of(run_dir, "uvo", 30.0))  # of a training that was not tracked
    begin(config, run_dir)
    store_results(replace(config, tracking=replace(config.tracking, enabled=False)), metrics_of(run_dir, "uvo", 3.0))
    assert not caplog.records
    config.tracking.uri = "http://127.0.0.1:1"
    describe(config, run_dir)
    store_results(config, metrics_of(run_dir, "uvo", 30.0))
    (record,) = caplog.records
    assert record.message.endswith(f"deliver it later with: vclr track sync {run_dir}") and "\n" not in record.message
    store_probe(config, probe_of(run_dir, "uvo", "all"), run_dir / "config.yaml")
    assert len(caplog.records) == 2


def probe_of(run_dir: Path, protocol: str, *groups: str) -> dict[str, Any]:
    def kept(ratio: float | None) -> dict[str, Any]:
        return {group: {"ratio": ratio and {"mask_ar@100": ratio, "box_ar@100": 0.1}} for group in groups}

    return {
        "renderings": {
            "natural": {"groups": kept(None)},
            "gray": {"groups": kept(0.5)},
            "edge": {"groups": kept(0.25)},
        },
        "appearance_invariance": {"groups": dict.fromkeys(groups, {"mean_ratio": 0.375})},
        "headline": "mask_ar@100",
        "provenance": metrics_of(run_dir, protocol, 0.0)["provenance"],
    }


def test_a_probe_s_keys_are_of_the_target_group(run_dir: Path):
    kept = {"mask_ar_100_kept/gray": 50.0, "mask_ar_100_kept/edge": 25.0}
    kept |= {"mask_ar_100_kept/appearance_invariance": 37.5}
    for part, groups in {("", "all"): ["all"], ("uvo", "uvo"): ["all"], ("novel", "novel"): ["known", "novel"]}.items():
        protocol, name = part
        expected = {f"probe/{name}/{key}": value for key, value in kept.items()}
        assert select_probe(probe_of(run_dir, protocol, *groups)) == expected
    of_own_set = select_probe(probe_of(run_dir, "mine", "known", "novel"))
    assert of_own_set["probe/mine/novel/mask_ar_100_kept/gray"] == 50.0


def test_a_probe_and_its_picture_reach_the_run_of_the_training(config: Config, run_dir: Path, tmp_path: Path):
    begin(config, run_dir)
    picture = tmp_path / "probe.png"
    for content in (b"first", b"second"):
        picture.write_bytes(content)
        store_probe(config, probe_of(run_dir, "uvo", "all"), picture)
    run, client = stored_run(config), MlflowClient(config.tracking.uri)
    assert run.data.metrics["probe/uvo/mask_ar_100_kept/appearance_invariance"] == 37.5
    assert run.data.tags["probe.uvo.test_set"] == "uvo.json sha256 cd"
    stored = client.download_artifacts(run.info.run_id, "pictures/probe_uvo/probe.png", str(tmp_path))
    assert Path(stored).read_bytes() == b"second"


def test_the_evaluated_checkpoint_is_a_model_and_the_best_one_of_its_experiment(config: Config, run_dir: Path):
    for seed, recall in enumerate((20.0, 26.0)):
        folder = run_dir.with_name(f"seed{seed}")
        files = begin(config, folder, seed)
        checkpoint = folder / "checkpoints/last.pt"
        checkpoint.parent.mkdir()
        checkpoint.write_bytes(b"weights %d" % seed)
        end(files)
        metrics = metrics_of(folder, "uvo", recall)
        metrics["provenance"]["checkpoint"]["sha256"] = sha256(checkpoint)
        store_results(config, metrics)
    client = MlflowClient(config.tracking.uri)
    best = client.get_model_version_by_alias("demo", "best")
    model = client.get_logged_model(model_of(best))
    assert model.tags["checkpoint.sha256"] == sha256(checkpoint)
    (metric,) = model.metrics
    assert (metric.key, metric.value, metric.dataset_name) == (
        "results/uvo/mask_ar_100",
        26.0,
        "test_annotations uvo.json",
    )
    assert {run.data.metrics["results/uvo/mask_ar_100"] for run in stored_runs(config)} == {20.0, 26.0}
    assert locate("models:/demo@best", config.tracking.uri) == checkpoint
    done = deliver(config, folder)
    assert (done.points, done.files, done.problems) == (0, 0, [])
