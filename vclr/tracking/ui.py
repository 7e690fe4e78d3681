"""Serve MLflow's web page for the database of the runs."""

from __future__ import annotations

import logging
import os
import subprocess
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vclr.errors import UserError, first_line
from vclr.tracking.database import artifact_root, database_file, prepare_database
from vclr.tracking.mlflow_process import LOOPBACK, access_settings, check_port, running_mlflow, until_interrupted
from vclr.tracking.portions import all_pages
from vclr.tracking.quiet import SETTINGS
from vclr.tracking.saved_view import comparison_query
from vclr.tracking.secrets import redact
from vclr.tracking.stored_runs import open_client

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Without the workflow, MLflow 3 shows traces of chat applications.
EXPERIMENTS_PAGE = "/#/experiments?workflowType=machine_learning"
RUNS_PAGE = "/#/experiments/{experiment}/runs?workflowType=machine_learning&compareRunsMode=CHART"

log = logging.getLogger("vclr.tracking")


def open_ui(uri: str, port: int = 5000, host: str = "127.0.0.1", open_browser: bool = False) -> None:
    """Serve the page until Ctrl-C. If `uri` is a server, only print its address, and open it if asked to."""
    if uri.startswith(("http://", "https://")):
        _show(uri.rstrip("/") + start_page(uri), open_browser)
        return
    with until_interrupted() as wait, serve_ui(uri, port, host) as (address, server):
        _show(address + start_page(uri), open_browser)
        if host not in LOOPBACK:
            print("Anybody who can reach this address can read and change the runs.", flush=True)
        if wait(server):
            raise UserError(f"mlflow ended with {server.returncode}")


@contextmanager
def serve_ui(uri: str, port: int, host: str = "127.0.0.1") -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run MLflow's server for the length of a block.

    Yields:
        Its address, once it answers there, and its process. All processes of the server have ended after the block. If
        the host is a wildcard (`0.0.0.0`), the address has the machine's name.

    Raises:
        UserError: there is no usable database, or the server does not start.
        UsageError: the port is taken, or the host is not an address of this machine.
    """
    database = database_file(uri)
    if database is not None and not database.is_file():
        raise UserError(f"{database}: no such database yet; the first tracked training creates it")
    check_port(host, port)
    settings = SETTINGS | dict(os.environ) | _store_settings(prepare_database(uri)) | access_settings(host, port)
    with running_mlflow(("ui", "--workers", "1"), settings, host, port) as (address, server):
        yield address, server


def start_page(uri: str) -> str:
    """Return the page that compares the runs of the experiment with the newest one, or lists the experiments.

    Saves how the page shows them as views of the experiment. If the store does not answer, the page lists the
    experiments.
    """
    try:
        client = open_client(uri)
        newest = _newest_experiment(client)
        if newest is not None:
            return RUNS_PAGE.format(experiment=newest) + comparison_query(client, newest)
    except Exception as error:  # MLflow's, those of its HTTP client and of its store
        problem = redact(first_line(error))
        log.warning("the page lists all experiments, because their runs could not be read: %s", problem)
    return EXPERIMENTS_PAGE


def _newest_experiment(client: MlflowClient) -> str | None:
    """Return the id of the experiment with the newest run that was not deleted, or None."""
    experiments = [str(one.experiment_id) for one in all_pages(client.search_experiments)]
    newest = client.search_runs(experiments, max_results=1, order_by=["attributes.start_time DESC"])
    return str(newest[0].info.experiment_id) if newest else None


def _store_settings(uri: str) -> dict[str, str]:
    """Return the variables that name the store. The URI may contain a password, so it must not be an argument."""
    root = artifact_root(uri)
    settings = {"MLFLOW_BACKEND_STORE_URI": uri}
    return settings if root is None else settings | {"MLFLOW_DEFAULT_ARTIFACT_ROOT": root}


def _show(page: str, open_browser: bool) -> None:
    print(f"MLflow: {page}", flush=True)
    if open_browser:
        webbrowser.open(page)
