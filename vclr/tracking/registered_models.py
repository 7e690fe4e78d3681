"""The registered model of an experiment: its versions, and the alias `best`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vclr.tracking.portions import all_pages

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

BEST = "best"
METRIC, VALUE = "vclr.metric", "vclr.value"  # tags of a version: what was compared
MODEL_IN_SOURCE = re.compile(r"\bm-[0-9a-f]{32}\b")  # also in the source of a version that was made by hand


def register_best(client: MlflowClient, experiment_name: str, model_id: str, metric: str, value: float) -> str:
    """Register a checkpoint as a version of its experiment's model if it is the best one so far.

    The alias `best` names the version with the highest value; of equal ones, the older. A version keeps its newest
    value, so a checkpoint that was evaluated again may lose the alias. Values of another metric are not compared: if
    the headline changes, the first checkpoint that has the new one is the best. A second call changes nothing.

    Args:
        client: of the store.
        experiment_name: names the registered model, see `registered_name`.
        model_id: of the checkpoint, from `log_checkpoint`.
        metric: the headline metric, for example `results/novel/mask_ar_100`.
        value: its value for this checkpoint; higher is better.

    Returns:
        The version that `best` names now.
    """
    name = registered_name(experiment_name)
    _create(client, name)
    versions = _versions(client, name)
    own = next((version for version in versions if model_of(version) == model_id), None)
    if own is None and _is_best(value, metric, versions):
        model = client.get_logged_model(model_id)
        tags = {METRIC: metric, VALUE: repr(float(value))}
        # Not `models:/m-ID`, which MLflow would look up in its default store, whatever the client's is.
        source = model.artifact_location
        client.create_model_version(name, source, model.source_run_id, tags, model_id=model_id)
    elif own is not None:
        for key, text in ((METRIC, metric), (VALUE, repr(float(value)))):
            if own.tags.get(key) != text:
                client.set_model_version_tag(name, own.version, key, text)
    versions = _versions(client, name)
    best = max(
        (version for version in versions if version.tags.get(METRIC) == metric),
        key=lambda version: (float(version.tags[VALUE]), -int(version.version)),
    )
    # The answer of a search has no aliases.
    if str(client.get_registered_model(name).aliases.get(BEST)) != str(best.version):
        client.set_registered_model_alias(name, BEST, best.version)
    return str(best.version)


def registered_name(experiment_name: str) -> str:
    """Return the name of an experiment's registered model; characters with a meaning in its address become `_`."""
    return re.sub(r"[/:@'\"%.\s]+", "_", experiment_name).strip("_") or "vclr"


def model_of(version: ModelVersion) -> str | None:
    """Return the id of the logged model of a version, which databases do not store by itself; None if it has none."""
    found = MODEL_IN_SOURCE.findall(version.source or "")
    return version.model_id or (found[-1] if found else None)


def _is_best(value: float, metric: str, versions: list[ModelVersion]) -> bool:
    values = [float(version.tags[VALUE]) for version in versions if version.tags.get(METRIC) == metric]
    return not values or value > max(values)


def _create(client: MlflowClient, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    return [*all_pages(client.search_model_versions, f"name = '{name}'")]
