"""One run in MLflow's store, written so that doing it again changes nothing. Raises MLflow's errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vclr.tracking.data_sets import DataSet
from vclr.tracking.database import artifact_root, prepare_database
from vclr.tracking.points import EVALUATIONS, Point, valid_key
from vclr.tracking.portions import all_pages, in_batches
from vclr.tracking.quiet import quiet_mlflow
from vclr.tracking.run_files import RUNNING
from vclr.tracking.secrets import redact, remember_password

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# Limits of mlflow.utils.validation.
MAX_PARAM_LENGTH = 6000
MAX_TAG_LENGTH = 8000
MAX_PARAMS_OR_TAGS = 100
MAX_METRICS = 1000
# Makes MLflow 3 show the runs of trainings, not the traces of language models.
EXPERIMENT_KIND = "mlflow.experimentKind"

IDENTITY = "vclr.run_id"  # tag: which run this is, in every store
KIND = "vclr.kind"  # tag: `training`, or `experiment` for the parent of an experiment's trainings
PARENT = "mlflow.parentRunId"  # tag: the run of its experiment
HEARTBEAT = "vclr.heartbeat"  # tag: when the training was last seen running, in seconds since 1970


def open_store(uri: str) -> MlflowClient:
    """Connect to a server, or to a SQLite database, which is created or migrated if necessary."""
    quiet_mlflow()
    from mlflow import MlflowClient

    remember_password(uri)
    return MlflowClient(prepare_database(uri))


def find_experiment(client: MlflowClient, name: str, uri: str) -> str:
    """Return the id of the MLflow experiment. If several processes find it missing at once, one creates it."""
    from mlflow.exceptions import MlflowException

    if client.get_experiment_by_name(name) is None:
        try:
            client.create_experiment(name, artifact_root(uri), tags={EXPERIMENT_KIND: "custom_model_development"})
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        raise LookupError(f"experiment {name!r} was removed while a run was being started in it")
    return str(experiment.experiment_id)


def find_runs(client: MlflowClient, experiment_ids: Sequence[str], tags: Mapping[str, str]) -> list[Run]:
    """Return the runs of MLflow experiments that have these tags and were not deleted, the oldest first."""
    wanted = " and ".join(f"tags.`{key}` = {quote(value)}" for key, value in tags.items())
    found = all_pages(client.search_runs, list(experiment_ids), wanted)
    return sorted(found, key=lambda run: (run.info.start_time or 0, run.info.run_id))


def find_or_create(
    client: MlflowClient, experiment_id: str, name: str, tags: Mapping[str, str], started: float
) -> RunRecord:
    """Return the run with these tags; create it if there is none.

    No store has a lock for this, so several processes may create it at once. Whoever then finds more than one keeps the
    first in order and deletes the others; a process that writes to one of those gets an error and looks again.

    Args:
        client: of the store.
        experiment_id: of the MLflow experiment.
        name: of the run, if it is created.
        tags: which no other run has.
        started: when it began, in seconds since 1970.
    """
    found = find_runs(client, [experiment_id], tags)
    if not found:
        client.create_run(experiment_id, round(1000 * started), tags=dict(tags), run_name=name)
        found = find_runs(client, [experiment_id], tags)
    for other in found[1:]:
        client.delete_run(other.info.run_id)
    return RunRecord(client, found[0])


class RunRecord:
    """Write to one MLflow run. Whatever is stored already is not written again.

    Attributes:
        id: MLflow's id of the run.
        tags: those that are stored.
        status: the one that is stored.
    """

    def __init__(self, client: MlflowClient, run: Run) -> None:
        self.client = client
        self.id = str(run.info.run_id)
        self.experiment_id = str(run.info.experiment_id)
        self.tags = dict(run.data.tags)
        self._params = dict(run.data.params)
        self.status = str(run.info.status)
        # The only public way to get the newest point of every curve in one request.
        newest = run.data.to_proto().metrics
        self._iterations = {metric.key: metric.step for metric in newest}
        self._figures = {metric.key: (metric.value, metric.timestamp) for metric in newest}

    def write(self, points: Iterable[Point], has_resumed: bool = False) -> int:
        """Store the points that are newer than their curve; return how many those were.

        The iterations of a curve only grow, so its newest stored point says which ones are missing. After a failure,
        even if the store wrote some before it failed, the same points may be written again.

        Args:
            points: in the order of their iterations.
            has_resumed: the training went on from a checkpoint, perhaps with another `train.eval_period`: evaluations
                may be older than the newest one, so the whole curve is read.
        """
        from mlflow.entities import Metric

        new = self._select_new(points, has_resumed)
        for batch in in_batches(new, MAX_METRICS):
            metrics = [Metric(point.key, point.value, point.time_ms, point.iteration) for point in batch]
            self.client.log_batch(self.id, metrics=metrics)
            for point in batch:
                self._iterations[point.key] = max(point.iteration, self._iterations.get(point.key, -1))
        return len(new)

    def _select_new(self, points: Iterable[Point], has_resumed: bool) -> list[Point]:
        newest = dict(self._iterations)
        selected, curves = [], dict[str, set[int]]()
        for point in points:
            if has_resumed and point.key.startswith(EVALUATIONS) and point.key in self._iterations:
                if point.key not in curves:
                    curves[point.key] = {one.step for one in self.client.get_metric_history(self.id, point.key)}
                if point.iteration not in curves[point.key]:
                    curves[point.key].add(point.iteration)
                    selected.append(point)
            elif point.iteration > newest.get(point.key, -1):
                newest[point.key] = point.iteration
                selected.append(point)
        return selected

    def write_figures(self, figures: Mapping[str, float], time_ms: int) -> int:
        """Store single figures, unless their newest values are these; return how many were stored.

        They are of iteration 0, which makes MLflow's page compare them as bars.
        """
        from mlflow.entities import Metric

        new = [Metric(key, value, time_ms, 0) for key, value in figures.items() if self._is_news(key, value, time_ms)]
        for batch in in_batches(new, MAX_METRICS):
            self.client.log_batch(self.id, metrics=batch)
            self._figures.update({metric.key: (metric.value, metric.timestamp) for metric in batch})
        return len(new)

    def newest_figure(self) -> int:
        """Return when the newest value of a figure or curve was measured, in milliseconds since 1970; 0 without any."""
        return max((time_ms for _, time_ms in self._figures.values()), default=0)

    def _is_news(self, key: str, value: float, time_ms: int) -> bool:
        stored, since = self._figures.get(key, (None, -1))
        return stored != value and since < time_ms

    def add_params(self, values: Mapping[str, Any]) -> None:
        """Store parameters that are not stored yet. MLflow refuses changes, so those that are stay as they are."""
        from mlflow.entities import Param

        known = {valid_key(key): redact(str(value))[:MAX_PARAM_LENGTH] for key, value in values.items()}
        new = [Param(key, value) for key, value in known.items() if key not in self._params]
        for batch in in_batches(new, MAX_PARAMS_OR_TAGS):
            self.client.log_batch(self.id, params=batch)
            self._params.update({param.key: param.value for param in batch})

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set tags; those whose value is None are left out."""
        from mlflow.entities import RunTag

        known = {
            valid_key(key): redact(str(value))[:MAX_TAG_LENGTH] for key, value in tags.items() if value is not None
        }
        new = [RunTag(key, value) for key, value in known.items() if self.tags.get(key) != value]
        for batch in in_batches(new, MAX_PARAMS_OR_TAGS):
            self.client.log_batch(self.id, tags=batch)
            self.tags.update({tag.key: tag.value for tag in batch})

    def add_inputs(self, data_sets: Iterable[DataSet]) -> None:
        """Store data sets that the run reads. MLflow stores each only once."""
        if inputs := [one.as_input() for one in data_sets]:
            self.client.log_inputs(self.id, inputs)

    def store_file(self, path: Path, folder: str = "") -> None:
        """Store a file as an artifact, in place of one of the same name."""
        self.client.log_artifact(self.id, str(path), folder or None)

    def set_status(self, status: str, ended: float | None, is_sure: bool = False) -> None:
        """Show the run as RUNNING, or as ended as FINISHED, FAILED or KILLED.

        Args:
            status: the word.
            ended: when, in seconds since 1970; None for now.
            is_sure: write it even if the store showed the same when this was opened; somebody else may have written.
        """
        if status == self.status and not is_sure:
            return
        if status == RUNNING:
            self.client.update_run(self.id, status=status)
        else:
            self.client.set_terminated(self.id, status, None if ended is None else round(1000 * ended))
        self.status = status


def quote(text: str) -> str:
    """Return a text for a filter of MLflow, which knows no escapes."""
    return f'"{text}"' if "'" in text else f"'{text}'"
