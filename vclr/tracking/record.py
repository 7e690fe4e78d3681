"""A run in MLflow's store: started or continued, written without duplicates, closed. Raises MLflow's errors."""

from __future__ import annotations

import getpass
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from vclr.config import Config, dump_config, flat_config
from vclr.files import read_json, sha256, write_json
from vclr.tracking.database import artifact_root, prepare_database
from vclr.tracking.quiet import quiet_mlflow
from vclr.tracking.secrets import redact, redact_config, redact_values
from vclr.tracking.store import store_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

RUN_FILE = "mlflow_run.json"  # in the run folder; names the run that a resumed training continues

# Limits of mlflow.utils.validation.
MAX_KEY_LENGTH = 250
MAX_PARAM_LENGTH = 6000
MAX_TAG_LENGTH = 8000
MAX_PARAMS_OR_TAGS = 100
MAX_METRICS = 1000
# Makes MLflow 3 show the runs of trainings, not the traces of language models.
EXPERIMENT_KIND = "mlflow.experimentKind"

Item = TypeVar("Item")


class Point(NamedTuple):
    """One value of a curve; `time_ms` is when it was measured, in milliseconds since 1970."""

    key: str
    value: float
    iteration: int
    time_ms: int


class RunRecord:
    """Write to one MLflow run."""

    def __init__(
        self, client: MlflowClient, run_id: str, environment: dict[str, Any], last_iteration: dict[str, int]
    ) -> None:
        self._client = client
        self._run_id = run_id
        self._environment = environment
        self._last_iteration = last_iteration  # by curve: the last one that is stored

    @classmethod
    def start(
        cls, config: Config, run_dir: Path, data_hashes: dict[str, str], environment: dict[str, Any]
    ) -> RunRecord:
        """Start a run, or continue the one that `run_dir` names, and store its parameters and tags."""
        quiet_mlflow()
        from mlflow import MlflowClient

        client = MlflowClient(prepare_database(store_of(config)))
        run = _find_run(client, config, run_dir) or _create_run(client, config, run_dir)
        run_id = run.info.run_id
        client.update_run(run_id, status="RUNNING")
        _store_parameters(client, run, config)
        _store_tags(client, run_id, _describing_tags(config, data_hashes, environment))
        # The only public way to get the newest iteration of every curve in one request.
        stored = run.data.to_proto().metrics
        return cls(client, run_id, environment, {metric.key: metric.step for metric in stored})

    def write(self, points: Iterable[Point]) -> None:
        """Store the points that are newer than their curve, in batches of the size that MLflow allows.

        The iterations of a curve only grow: points that a resumed training replays are left out, and points may be
        written again after a failure.
        """
        from mlflow.entities import Metric

        for batch in _batches(self._select_new(points), MAX_METRICS):
            metrics = [Metric(point.key, point.value, point.time_ms, point.iteration) for point in batch]
            self._client.log_batch(self._run_id, metrics=metrics)
            self._last_iteration.update({point.key: point.iteration for point in batch})

    def _select_new(self, points: Iterable[Point]) -> list[Point]:
        newest = dict(self._last_iteration)
        selected = []
        for point in points:
            if point.iteration > newest.get(point.key, -1):
                newest[point.key] = point.iteration
                selected.append(point)
        return selected

    def store_description(self, config: Config) -> None:
        """Store the whole configuration and the environment as files, without secrets."""
        self._client.log_text(self._run_id, dump_config(redact_config(config)), "config.yaml")
        self._client.log_dict(self._run_id, redact_values(self._environment), "environment.json")

    def store_checkpoint(self, checkpoint: Path, copy: bool) -> None:
        """Store a checkpoint's path and sha256, and with `copy` the file itself under `checkpoints/`."""
        tags = {"checkpoint.path": str(checkpoint.absolute()), "checkpoint.sha256": sha256(checkpoint)}
        _store_tags(self._client, self._run_id, tags)
        if copy:
            self._client.log_artifact(self._run_id, str(checkpoint), "checkpoints")

    def close(self, status: str) -> None:
        """End the run as FINISHED, FAILED or KILLED."""
        self._client.set_terminated(self._run_id, status)


def valid_key(key: str) -> str:
    """Return `key` with the characters that MLflow refuses replaced: `box_ar@100` becomes `box_ar_100`."""
    return re.sub(r"[^\w.\- /]", "_", key)[:MAX_KEY_LENGTH]


def _find_run(client: MlflowClient, config: Config, run_dir: Path) -> Run | None:
    """Return the run that the folder names, unless it is in another store or was deleted there."""
    from mlflow.exceptions import MlflowException

    if not (run_dir / RUN_FILE).is_file():
        return None
    named = read_json(run_dir / RUN_FILE)
    if named["uri"] != redact(store_of(config)):
        return None
    try:
        run = client.get_run(named["run_id"])
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return run if run.info.lifecycle_stage == "active" else None


def _create_run(client: MlflowClient, config: Config, run_dir: Path) -> Run:
    name = config.tracking.run_name or "/".join(Path(config.train.output_dir).parts[-2:])
    run = client.create_run(_experiment_id(client, config), run_name=name)
    write_json(run_dir / RUN_FILE, {"run_id": run.info.run_id, "uri": redact(store_of(config))}, indent=1)
    return run


def _experiment_id(client: MlflowClient, config: Config) -> str:
    """Return the experiment's id. If several processes find it missing at once, one creates it."""
    from mlflow.exceptions import MlflowException

    name = config.tracking.experiment
    if client.get_experiment_by_name(name) is None:
        try:
            client.create_experiment(
                name, artifact_root(store_of(config)), tags={EXPERIMENT_KIND: "custom_model_development"}
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        raise LookupError(f"experiment {name!r} was removed while a run was being started in it")
    return str(experiment.experiment_id)


def _store_parameters(client: MlflowClient, run: Run, config: Config) -> None:
    """Store every setting once. MLflow refuses changes, so a later change becomes a tag `changed.<key>`."""
    from mlflow.entities import Param

    settings = flat_config(redact_config(config))
    values = {valid_key(key): str(value)[:MAX_PARAM_LENGTH] for key, value in settings.items()}
    stored = run.data.params
    new = [Param(key, value) for key, value in values.items() if key not in stored]
    for batch in _batches(new, MAX_PARAMS_OR_TAGS):
        client.log_batch(run.info.run_id, params=batch)

    changes = {}
    for key in values.keys() & stored.keys():
        tag = valid_key(f"changed.{key}")
        if values[key] != run.data.tags.get(tag, stored[key]):
            changes[tag] = values[key]
    _store_tags(client, run.info.run_id, changes)


def _describing_tags(config: Config, data_hashes: dict[str, str], environment: dict[str, Any]) -> dict[str, Any]:
    output = Path(config.train.output_dir).parts
    tags = {
        "experiment": output[-2] if len(output) > 1 else config.tracking.experiment,
        "seed": config.train.seed,
        "git.revision": environment["git_revision"],
        "git.dirty": environment["git_dirty"],
        "host": environment["hostname"],
        "cpu": environment["cpu"],
        "gpus": ", ".join(environment["gpus"]) or None,
        "device": environment["device"],
        "tf32": environment["tf32"],
        **{f"version.{name}": environment[name] for name in ("python", "torch", "vclr", "driver", "cuda", "cudnn")},
        # Columns of MLflow's own table.
        "mlflow.source.name": "vclr train",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": environment["git_revision"],
        "mlflow.user": _user_name(),
    }
    return tags | {f"data.{name}": digest for name, digest in data_hashes.items()}


def _user_name() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user id of a container may have no name
        return None


def _store_tags(client: MlflowClient, run_id: str, tags: dict[str, Any]) -> None:
    """Set tags; those whose value is None are left out."""
    from mlflow.entities import RunTag

    known = {valid_key(key): redact(str(value))[:MAX_TAG_LENGTH] for key, value in tags.items() if value is not None}
    for batch in _batches([RunTag(key, value) for key, value in known.items()], MAX_PARAMS_OR_TAGS):
        client.log_batch(run_id, tags=batch)


def _batches(items: list[Item], size: int) -> Iterator[list[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def now_ms() -> int:
    """Return the time in milliseconds since 1970, as MLflow counts it."""
    return time.time_ns() // 1_000_000
