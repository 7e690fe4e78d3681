"""Read runs from a store, hundreds at a time: their tags, parameters and evaluation figures.

A SQLite file is read directly, because MLflow takes seconds for 200 runs; servers are asked through MLflow's client.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vclr.errors import UserError, first_line
from vclr.file_names import shown_path
from vclr.tracking.database import database_file
from vclr.tracking.figures import RESULTS_KEY
from vclr.tracking.portions import all_pages, in_batches
from vclr.tracking.quiet import quiet_mlflow
from vclr.tracking.record import PARENT, quote
from vclr.tracking.secrets import redact

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_PAGE = 1000  # runs of a page of MLflow's search
MAX_NAMES = 100  # ids in one filter


@dataclass
class StoredRun:
    """A run of a store.

    Attributes:
        id: its id in the store.
        name: its name on MLflow's page.
        group: the MLflow experiment that it belongs to.
        started: when it began, in milliseconds since 1970.
        tags, params: all of them.
        figures: the last value of each of its evaluation figures.
    """

    id: str
    name: str
    group: str
    started: int
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)


def find_stored_runs(uri: str, ids: Sequence[str], experiments: Sequence[str]) -> list[StoredRun]:
    """Return the runs of a store that have one of these ids, or a parent or an experiment that is named.

    Args:
        uri: the store.
        ids: ids of runs.
        experiments: names of MLflow experiments, or values of the tag `experiment`.

    Returns:
        The runs that were not deleted, the oldest first.

    Raises:
        UserError: the store cannot be read; in one line.
    """
    database = database_file(uri)
    if database is None:
        found = _ask_server(uri, ids, experiments)
    elif not database.is_file():
        raise UserError(f"{shown_path(database)}: no such database; name the store with --uri")
    else:
        found = _read_database(database, ids, experiments)
    return sorted(found, key=lambda run: (run.started, run.id))


def _read_database(database: Path, ids: Sequence[str], experiments: Sequence[str]) -> list[StoredRun]:
    def places(values: Sequence[str]) -> str:
        return ", ".join("?" * len(values))

    query = (
        "select run_uuid, runs.name, experiments.name, start_time from runs "
        "join experiments on runs.experiment_id = experiments.experiment_id "
        "where runs.lifecycle_stage = 'active' and experiments.lifecycle_stage = 'active' and ("
        f"run_uuid in ({places(ids)}) or experiments.name in ({places(experiments)}) or run_uuid in ("
        f"select run_uuid from tags where key = 'experiment' and value in ({places(experiments)}) "
        f"or key = '{PARENT}' and value in ({places(ids)})))"
    )
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute(query, [*ids, *experiments, *experiments, *ids]).fetchall()
            runs = {row[0]: StoredRun(row[0], row[1] or row[0], row[2], row[3] or 0) for row in rows}
            for table, condition in (
                ("tags", ""),
                ("params", ""),
                ("latest_metrics", f"and is_nan = 0 and key like '{RESULTS_KEY}%'"),
            ):
                name = "figures" if table == "latest_metrics" else table
                for part in in_batches([*runs], MAX_NAMES):
                    query = f"select run_uuid, key, value from {table} where run_uuid in ({places(part)}) {condition}"
                    for run_id, key, value in connection.execute(query, part):
                        getattr(runs[run_id], name)[key] = value
    except sqlite3.Error as error:  # locked, damaged, not a database, or not one of MLflow
        raise UserError(f"{shown_path(database)}: cannot be read as a database of MLflow: {error}") from None
    return [*runs.values()]


def _ask_server(uri: str, ids: Sequence[str], experiments: Sequence[str]) -> list[StoredRun]:
    client = open_client(uri)
    try:
        groups = all_pages(client.search_experiments, max_results=MAX_PAGE)
        names = {str(one.experiment_id): str(one.name) for one in groups}
        everywhere = [*names]
        parts = (", ".join(map(quote, part)) for part in in_batches(ids, MAX_NAMES))
        filters = [(everywhere, f"attributes.run_id IN ({part})") for part in parts]
        filters += [(everywhere, f"tags.`{PARENT}` = {quote(one)}") for one in ids]
        for wanted in experiments:
            filters.append((everywhere, f"tags.experiment = {quote(wanted)}"))
            filters += [([number], "") for number, name in names.items() if name == wanted]
        found = {}
        for where, text in filters:
            for run in all_pages(client.search_runs, where, text, max_results=MAX_PAGE):
                found[run.info.run_id] = from_mlflow(run, names[str(run.info.experiment_id)])
    except Exception as error:  # MLflow's, those of its HTTP client and of its store
        raise UserError(redact(f"{uri}: cannot be read: {first_line(error)}")) from None
    return [*found.values()]


def open_client(uri: str) -> MlflowClient:
    """Return a client of a store or a server."""
    quiet_mlflow()
    from mlflow import MlflowClient

    return MlflowClient(uri)


def from_mlflow(run: Any, group: str) -> StoredRun:
    """Return what MLflow's client says of a run."""
    figures = {
        key: float(value) for key, value in run.data.metrics.items() if key.startswith(RESULTS_KEY) and value == value
    }
    name = run.info.run_name or run.info.run_id
    return StoredRun(
        run.info.run_id, name, group, run.info.start_time or 0, dict(run.data.tags), dict(run.data.params), figures
    )


def read_run_file(uri: str, run_id: str, name: str) -> str | None:
    """Return the text of an artifact of a run; None if there is none or it cannot be read."""
    try:
        client = open_client(uri)
        if name not in [one.path for one in client.list_artifacts(run_id)]:
            return None
        return Path(client.download_artifacts(run_id, name)).read_text(encoding="utf-8", errors="replace")
    except Exception:  # the artifact store may be out of reach where the database is not
        return None
