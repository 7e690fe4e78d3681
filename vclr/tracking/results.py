"""Store the results of an evaluation or a probe in the MLflow run of the training."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vclr.catalog.classes import ALL, target_of
from vclr.catalog.metrics import SHOWN_METRICS
from vclr.catalog.views import NATURAL
from vclr.config import Config
from vclr.errors import first_line
from vclr.files import read_json
from vclr.tracking.database import prepare_database
from vclr.tracking.quiet import quiet_mlflow
from vclr.tracking.record import RUN_FILE, now_ms, valid_key
from vclr.tracking.secrets import redact
from vclr.tracking.store import complete, store_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger("vclr.tracking")


def store_results(config: Config, metrics: dict[str, Any]) -> None:
    """Store the results of an evaluation in the run of its training, if that was tracked.

    The keys are `results/{protocol}/{metric}`, and `results/{protocol}/{group}/{metric}` for each group. If
    `evaluation.protocol` is empty or one of the groups, they are `results/{group}/{metric}`, and without groups
    `results/all/{metric}`. The iteration is the checkpoint's. An error of MLflow is only a warning. `metrics` is the
    content of metrics.json.
    """
    _store_if_tracked(config, "results", metrics["provenance"], select_results(metrics))


def store_probe(config: Config, content: dict[str, Any], picture: Path) -> None:
    """Store the main figures of a probe and its picture in the run of the training, as `store_results` does.

    The keys are `probe/{protocol}/{group}/{metric}_kept/{rendering}`, and `appearance_invariance` instead of the
    rendering for the mean; the values are percent of the photos'. The group is `novel`, or the first one if there is no
    such group. If `evaluation.protocol` is empty or one of the groups, the keys name only the group; without groups
    they name only the protocol, or `all`. `content` is that of probe.json.
    """
    _store_if_tracked(config, "probe", content["provenance"], select_probe(content), picture)


def _store_if_tracked(
    config: Config, kind: str, provenance: dict[str, Any], values: dict[str, float], *files: Path
) -> None:
    checkpoint = provenance["checkpoint"]
    if not config.tracking.enabled or checkpoint is None:
        return
    run_file = Path(checkpoint["path"]).parent.parent / RUN_FILE
    if not run_file.is_file():
        return
    try:
        client, run_id = _open_run(read_json(run_file), config)
        _store(client, run_id, values, checkpoint["iteration"] or 0, _tags(kind, provenance))
        for file in files:
            client.log_artifact(run_id, str(file), f"{kind}/{provenance['protocol'] or ALL}")
    except Exception as error:
        log.warning("%s: the results are not in MLflow: %s", run_file, redact(first_line(error)))


def select_probe(content: dict[str, Any]) -> dict[str, float]:
    """Return the part of probe.json that is stored, by MLflow's keys: the headline of the target group."""
    groups = content["renderings"][NATURAL]["groups"]
    group, protocol, headline = target_of(groups), content["provenance"]["protocol"], content["headline"]
    parts = [part for part in (protocol if protocol not in groups else "", group) if part]
    part = "/".join(parts[:1] if group == ALL else parts)
    kept = {
        view: rendering["groups"][group]["ratio"].get(headline)
        for view, rendering in content["renderings"].items()
        if view != NATURAL
    }
    kept["appearance_invariance"] = content["appearance_invariance"]["groups"][group]["mean_ratio"]
    return {
        valid_key(f"probe/{part}/{headline}_kept/{name}"): 100 * ratio
        for name, ratio in kept.items()
        if ratio is not None
    }


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


def _tags(kind: str, provenance: dict[str, Any]) -> dict[str, str]:
    """Return the tags that name the test set of the results, and the weights if they are known."""
    test_set, name = provenance["test_set"], provenance["protocol"] or ALL
    tags = {"test_set": f"{test_set['annotations']} sha256 {test_set['sha256']}", "weights": provenance.get("weights")}
    return {valid_key(f"{kind}.{name}.{key}"): redact(text) for key, text in tags.items() if text}


def _open_run(run: dict[str, str], config: Config) -> tuple[MlflowClient, str]:
    quiet_mlflow()
    from mlflow import MlflowClient

    return MlflowClient(prepare_database(complete(run["uri"], store_of(config)))), run["run_id"]


def _store(client: MlflowClient, run_id: str, values: dict[str, float], iteration: int, tags: dict[str, str]) -> None:
    from mlflow.entities import Metric, RunTag

    stored = {metric.key: metric for metric in client.get_run(run_id).data.to_proto().metrics}
    new = [
        Metric(key, value, now_ms(), iteration)
        for key, value in values.items()
        if key not in stored or (stored[key].value, stored[key].step) != (value, iteration)
    ]
    client.log_batch(run_id, metrics=new, tags=[RunTag(key, value) for key, value in tags.items()])
