"""Checkpoints as MLflow's logged models: one per run and content, with what was measured on which data."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from vclr.tracking.checkpoint_parts import PARTS_FOLDER, upload_parts
from vclr.tracking.checkpoint_pointer import POINTER_FILE, PREFIX, CheckpointPointer
from vclr.tracking.data_sets import DataSet
from vclr.tracking.model_files import write_model_files
from vclr.tracking.points import valid_key
from vclr.tracking.portions import all_pages

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

NAMES = f"{PREFIX}names"  # tag: the names of the files that held the content: `best last`
MODEL_TYPE = "detector"


def log_checkpoint(
    client: MlflowClient,
    run_id: str,
    checkpoint: Path,
    metrics: Mapping[str, float],
    datasets: Mapping[str, DataSet],
    upload: bool,
    iteration: int | None = None,
) -> str:
    """Log a checkpoint of a run as a model. A second call with the same arguments changes nothing.

    A run has one model per content of its checkpoints. What a killed call left behind is completed.

    Store the run's own metrics first. MLflow makes each metric of a model a point of its run, too: if the run has the
    value under the same name already, at step 0 or at the checkpoint's iteration, that point counts for both.
    Otherwise, the point gets the step `-(iteration + 1)`, before all that the run shows of itself.

    Args:
        client: of the store.
        run_id: the run whose training wrote the checkpoint.
        checkpoint: the file; its stem (`last`, `best`) becomes the model's name.
        metrics: name -> value; NaN is left out. A changed value is added as a newer one.
        datasets: start of a metric's name -> the data set on which it was measured; the longest start counts.
        upload: also store the file itself, not only its path, size and sha256.
        iteration: the training step of the checkpoint.

    Returns:
        The model's id, `m-...`.

    Raises:
        OSError: the checkpoint cannot be read.
        Exception: MLflow's errors; call it again later.
    """
    # An open file keeps its content if the training replaces `last.pt` meanwhile.
    with checkpoint.open("rb") as file:
        run = client.get_run(run_id)
        pointer = CheckpointPointer.of_file(file, checkpoint, iteration)
        model = _find_or_create(client, run, checkpoint.stem, pointer)
        _store_files(client, _Draft(model, pointer, checkpoint.stem, run_id), file, upload)
    _link_to_run(client, run, model.model_id, iteration or 0)
    _store_metrics(client, run, model.model_id, metrics, datasets, iteration or 0)
    return str(model.model_id)


def models_of_run(client: MlflowClient, run: Run) -> list[LoggedModel]:
    """Return the logged models of a run, oldest first."""
    condition = f"source_run_id = '{run.info.run_id}'"
    found = all_pages(client.search_logged_models, [run.info.experiment_id], condition)
    return sorted(found, key=lambda model: (model.creation_timestamp, model.model_id))


def names_of(model: LoggedModel) -> list[str]:
    """Return the names of the files that held a model's content: `last`, `best` or both."""
    return str(model.tags.get(NAMES, model.name)).split()


@dataclass
class _Draft:
    """A model, and what it should be."""

    model: LoggedModel
    pointer: CheckpointPointer
    name: str
    run_id: str


def _find_or_create(client: MlflowClient, run: Run, name: str, pointer: CheckpointPointer) -> LoggedModel:
    """Return the run's model of this content; if processes that ran at once created several, only one is kept."""
    held = _models_of_content(client, run, pointer)
    if not held:
        client.create_logged_model(
            run.info.experiment_id,
            valid_key(name).replace("/", "_"),
            run.info.run_id,
            {**pointer.as_tags(), NAMES: name},
            model_type=MODEL_TYPE,
        )
        held = _models_of_content(client, run, pointer)
    for surplus in held[1:]:
        client.delete_logged_model(surplus.model_id)
    return held[0]


def _models_of_content(client: MlflowClient, run: Run, pointer: CheckpointPointer) -> list[LoggedModel]:
    """Return the models of a content, the one to keep first: a complete one, else the oldest."""
    models = [one for one in models_of_run(client, run) if one.tags.get(f"{PREFIX}sha256") == pointer.sha256]
    return sorted(models, key=lambda model: not _is_ready(model))


def _is_ready(model: LoggedModel) -> bool:
    return str(model.status) == "READY"


def _store_files(client: MlflowClient, draft: _Draft, file: BinaryIO, upload: bool) -> None:
    """Bring tags and artifacts up to date: the tags last, so that they never promise what is not there."""
    model, pointer = draft.model, draft.pointer
    held = CheckpointPointer.from_tags(model.tags, model.name)
    if held.path != pointer.path and not held.complaint(held.path):
        pointer = msgspec.structs.replace(pointer, path=held.path)  # the other file still holds the content
    if pointer.iteration is None:
        pointer = msgspec.structs.replace(pointer, iteration=held.iteration)
    pointer = msgspec.structs.replace(pointer, part_bytes=held.part_bytes)
    if upload and held.part_bytes is None:
        part_bytes = upload_parts(client, model.model_id, file, pointer.bytes)
        pointer = msgspec.structs.replace(pointer, part_bytes=part_bytes)
    with tempfile.TemporaryDirectory() as parent:
        if not _is_ready(model):
            folder = Path(parent) / "model"
            write_model_files(folder, model.model_id, draft.run_id, pointer)
            client.log_model_artifacts(model.model_id, str(folder))
        elif pointer != held:
            pointer.write(Path(parent) / POINTER_FILE)
            client.log_model_artifact(model.model_id, str(Path(parent) / POINTER_FILE), PARTS_FOLDER)
    tags = {**pointer.as_tags(), NAMES: " ".join(sorted({*names_of(model), draft.name}))}
    if changed := {key: value for key, value in tags.items() if model.tags.get(key) != value}:
        client.set_logged_model_tags(model.model_id, changed)
    if not _is_ready(model):
        client.finalize_logged_model(model.model_id, "READY")


def _link_to_run(client: MlflowClient, run: Run, model_id: str, step: int) -> None:
    """Show the model on the page of its run."""
    from mlflow.entities import LoggedModelOutput

    outputs = run.outputs.model_outputs if run.outputs else []
    if model_id not in [output.model_id for output in outputs]:
        client.log_outputs(run.info.run_id, [LoggedModelOutput(model_id, step)])


def _store_metrics(
    client: MlflowClient,
    run: Run,
    model_id: str,
    metrics: Mapping[str, float],
    datasets: Mapping[str, DataSet],
    iteration: int,
) -> None:
    """Store the values that the model does not have yet; see `log_checkpoint` for their steps."""
    from mlflow.entities import Metric

    held = {}
    for metric in sorted(client.get_logged_model(model_id).metrics or [], key=lambda metric: metric.timestamp):
        held[metric.key] = metric.value
    points = []
    for name, value in metrics.items():
        key, value = valid_key(name), float(value)
        if math.isnan(value) or held.get(key) == value:
            continue
        step, time_ms = _point_of_run(client, run, key, value, iteration)
        measured = _data_set_of(name, datasets)
        data_name, digest = (measured.name, measured.digest) if measured else (None, None)
        points.append(
            Metric(key, value, time_ms, step, model_id=model_id, dataset_name=data_name, dataset_digest=digest)
        )
    if points:
        client.log_batch(run.info.run_id, metrics=points)


def _point_of_run(client: MlflowClient, run: Run, key: str, value: float, iteration: int) -> tuple[int, int]:
    """Return step and time of the point of a run that a metric of its checkpoint is, or of a new one."""
    history = client.get_metric_history(run.info.run_id, key) if key in run.data.metrics else []
    for point in sorted(history, key=lambda point: (-point.step, point.timestamp), reverse=True):  # step 0 first
        if point.value == value and point.step in (0, iteration):
            return point.step, point.timestamp
    return -(iteration + 1), time.time_ns() // 1_000_000


def _data_set_of(metric: str, datasets: Mapping[str, DataSet]) -> DataSet | None:
    starts = [start for start in datasets if metric.startswith(start)]
    return datasets[max(starts, key=len)] if starts else None
