"""Results of evaluations in the MLflow run of their training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from vclr.config import Config
from vclr.environment import describe_environment
from vclr.files import read_json, write_json
from vclr.tracking.record import RUN_FILE, RunRecord
from vclr.tracking.results import select_probe, select_results, store_probe, store_results


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
    RunRecord.start(config, run_dir, {}, describe_environment()).close("FINISHED")
    for protocol, recall in (("nonvoc", 20.0), ("uvo", 30.0), ("uvo", 30.0)):
        store_results(config, metrics_of(run_dir, protocol, recall))
    client, run_id = MlflowClient(config.tracking.uri), read_json(run_dir / RUN_FILE)["run_id"]
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"results/nonvoc/mask_ar_100": 20.0, "results/uvo/mask_ar_100": 30.0}
    assert [point.step for point in client.get_metric_history(run_id, "results/uvo/mask_ar_100")] == [900]
    assert run.data.tags["results.uvo.test_set"] == "uvo.json sha256 cd"
    assert run.data.tags["results.uvo.weights"] == "teacher"


def test_what_goes_wrong_is_one_warning(config: Config, run_dir: Path, caplog: pytest.LogCaptureFixture):
    store_results(config, metrics_of(run_dir, "uvo", 30.0))  # of a training that was not tracked
    write_json(run_dir / RUN_FILE, {"run_id": "0123", "uri": config.tracking.uri})
    store_results(replace(config, tracking=replace(config.tracking, enabled=False)), metrics_of(run_dir, "uvo", 3.0))
    assert not caplog.records
    store_results(config, metrics_of(run_dir, "uvo", 30.0))
    (record,) = caplog.records
    assert "the results are not in MLflow" in record.message and "\n" not in record.message
    store_probe(config, probe_of(run_dir, "uvo", "all"), run_dir / "probe.png")
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
    RunRecord.start(config, run_dir, {}, describe_environment()).close("FINISHED")
    picture = tmp_path / "probe.png"
    for content in (b"first", b"second"):
        picture.write_bytes(content)
        store_probe(config, probe_of(run_dir, "uvo", "all"), picture)
    client, run_id = MlflowClient(config.tracking.uri), read_json(run_dir / RUN_FILE)["run_id"]
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["probe/uvo/mask_ar_100_kept/appearance_invariance"] == 37.5
    assert run.data.tags["probe.uvo.test_set"] == "uvo.json sha256 cd"
    assert Path(client.download_artifacts(run_id, "probe/uvo/probe.png")).read_bytes() == b"second"
