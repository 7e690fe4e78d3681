"""Store the results of an evaluation in the MLflow run of the training."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from vclr.catalog.classes import ALL
from vclr.catalog.metrics import SHOWN_METRICS
from vclr.config import Config
from vclr.errors import first_line
from vclr.files import read_json
from vclr.tracking.database import prepare_database
from vclr.tracking.quiet import quiet_mlflow
from vclr.tracking.record import RUN_FILE, now_ms, valid_key

log = logging.getLogger("vclr.tracking")


def store_results(config: Config, metrics: dict[str, Any]) -> None:
    """Store the results of an evaluation in the run of its training, if that was tracked.

    The keys are `results/{protocol}/{metric}`, and `results/{protocol}/{group}/{metric}` for each group. If
    `evaluation.protocol` is empty or one of the groups, they are `results/{group}/{metric}`, and without groups
    `results/all/{metric}`. The iteration is the checkpoint's. An error of MLflow is only a warning. `metrics` is the
    content of metrics.json.
    """
    checkpoint = metrics["provenance"]["checkpoint"]
    if not config.tracking.enabled or checkpoint is None:
        return
    run_file = Path(checkpoint["path"]).parent.parent / RUN_FILE
    if not run_file.is_file():
        return
    try:
        _store(read_json(run_file), select_results(metrics), checkpoint["iteration"] or 0, _tags(metrics["provenance"]))
    except Exception as error:
        log.warning("%s: the results are not in MLflow: %s", run_file, first_line(error))


def select_results(metrics: dict[str, Any]) -> dict[str, float]:
    """Return the part of metrics.json that is stored, by MLflow's keys."""
    protocol, groups = metrics["provenance"]["protocol"], metrics["groups"]
    if protocol and protocol not in groups:
        parts = {protocol: metrics, **{f"{protocol}/{group}": values for group, values in groups.items()}}
    else:
        parts = groups or {ALL: metrics}
    return {
        valid_key(f"results/{part}/{name}"): float(values[name])
        for part, values in parts.items()
        for name in SHOWN_METRICS  # a page of MLflow with hundreds of keys is unusable
        if values.get(name) is not None
    }


def _tags(provenance: dict[str, Any]) -> dict[str, str]:
    """Return the tags that name the test set of the results, and the weights if they are known."""
    test_set, name = provenance["test_set"], provenance["protocol"] or ALL
    tags = {"test_set": f"{test_set['annotations']} sha256 {test_set['sha256']}", "weights": provenance.get("weights")}
    return {valid_key(f"results.{name}.{key}"): text for key, text in tags.items() if text}


def _store(run: dict[str, str], values: dict[str, float], iteration: int, tags: dict[str, str]) -> None:
    quiet_mlflow()
    from mlflow import MlflowClient
    from mlflow.entities import Metric, RunTag

    client = MlflowClient(prepare_database(run["uri"]))
    stored = {metric.key: metric for metric in client.get_run(run["run_id"]).data.to_proto().metrics}
    new = [
        Metric(key, value, now_ms(), iteration)
        for key, value in values.items()
        if key not in stored or (stored[key].value, stored[key].step) != (value, iteration)
    ]
    client.log_batch(run["run_id"], metrics=new, tags=[RunTag(key, value) for key, value in tags.items()])
