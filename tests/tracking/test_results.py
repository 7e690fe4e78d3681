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
from vclr.tracking.results import select_results, store_results


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
