"""Serve MLflow's web page for the database of the runs."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import IO, TYPE_CHECKING

from vclr.errors import UsageError, UserError, first_line
from vclr.tracking.database import artifact_root, database_file, prepare_database
from vclr.tracking.quiet import SETTINGS
from vclr.tracking.saved_view import comparison_query
from vclr.tracking.stored_runs import open_client, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

START_TIMEOUT = 120.0  # seconds; a cold disk needs much of it
# Without the workflow, MLflow 3 shows traces of chat applications.
EXPERIMENTS_PAGE = "/#/experiments?workflowType=machine_learning"
RUNS_PAGE = "/#/experiments/{experiment}/runs?workflowType=machine_learning&compareRunsMode=CHART"
WILDCARDS = ("0.0.0.0", "::")  # a server listens here for everybody; a browser cannot open them
LOOPBACK = ("localhost", "127.0.0.1", "::1")
STOP_TIMEOUT = 10.0  # seconds after which a server that does not end is killed

log = logging.getLogger("vclr.tracking")


def open_ui(uri: str, port: int = 5000, host: str = "127.0.0.1", open_browser: bool = False) -> None:
    """Serve the page until Ctrl-C. If `uri` is a server, only print its address, and open it if asked to."""
    if uri.startswith(("http://", "https://")):
        _show(uri.rstrip("/") + start_page(uri), open_browser)
        return
    previous = signal.signal(signal.SIGTERM, _exit_on_signal)
    try:
        with serve_ui(uri, port, host) as (address, server):
            _show(address + start_page(uri), open_browser)
            if host not in LOOPBACK:
                print("Anybody who can reach this address can read and change the runs.", flush=True)
            if server.wait():
                raise UserError(f"mlflow ui ended with {server.returncode}")
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, previous)


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
    _check_start(uri, port, host)
    with tempfile.TemporaryFile() as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "ui", "--host", host, "--port", str(port), "--workers", "1"],
            env=_server_environment(prepare_database(uri), port, host),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # one process group, so that no process is left behind
        )
        try:
            _wait_until_ready(server, _address("127.0.0.1" if host in WILDCARDS else host, port), output)
            yield _address(socket.gethostname() if host in WILDCARDS else host, port), server
        finally:
            _stop(server)


def _check_start(uri: str, port: int, host: str) -> None:
    database = database_file(uri)
    if database is not None and not database.is_file():
        raise UserError(f"{database}: no such database yet; the first tracked training creates it")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # Like the server: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except socket.gaierror as error:
            raise UsageError(f"--host {host}: {error.strerror}") from None
        except OSError as error:
            advice = "this machine has no such address" if error.errno == errno.EADDRNOTAVAIL else "choose another"
            raise UsageError(f"port {port} of {host}: {error.strerror}; {advice}") from None


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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
        problem = without_password(first_line(error))
        log.warning("the page lists all experiments, because their runs could not be read: %s", problem)
    return EXPERIMENTS_PAGE


def _newest_experiment(client: MlflowClient) -> str | None:
    """Return the id of the experiment with the newest run that was not deleted, or None."""
    experiments = [str(one.experiment_id) for one in client.search_experiments()]
    newest = client.search_runs(experiments, max_results=1, order_by=["attributes.start_time DESC"])
    return str(newest[0].info.experiment_id) if newest else None


def _server_environment(uri: str, port: int, host: str) -> dict[str, str]:
    """Return the server's environment. It holds the URI, which may contain a password, so it must not be an argument.

    By default, MLflow only answers browsers on this machine and in private networks, and no page from elsewhere can use
    a browser to change the runs. If others may look, every name of this server is allowed, at its port.
    """
    settings = dict(SETTINGS)
    if host not in LOOPBACK:
        settings["MLFLOW_SERVER_ALLOWED_HOSTS"] = f"*:{port}"
        settings["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"] = f"http://*:{port}"
    environment = {**settings, **os.environ, "MLFLOW_BACKEND_STORE_URI": uri}
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # evaluation jobs of language models
    root = artifact_root(uri)
    if root is not None:
        environment["MLFLOW_DEFAULT_ARTIFACT_ROOT"] = root
    return environment


def _wait_until_ready(server: subprocess.Popen[bytes], address: str, output: IO[bytes]) -> None:
    end = time.monotonic() + START_TIMEOUT
    while time.monotonic() < end:
        if server.poll() is not None:
            raise UserError(f"mlflow ui ended with {server.returncode}: {_last_line(output)}")
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise UserError(f"mlflow ui did not answer at {address} within {START_TIMEOUT:.0f} s: {_last_line(output)}")


def _last_line(output: IO[bytes]) -> str:
    output.seek(0)
    lines = output.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no output"


def _stop(server: subprocess.Popen[bytes]) -> None:
    for kill in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, kill)
            server.wait(STOP_TIMEOUT)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _show(page: str, open_browser: bool) -> None:
    print(f"MLflow: {page}", flush=True)
    if open_browser:
        webbrowser.open(page)


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
