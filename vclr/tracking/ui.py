"""MLflow's web page on the database of the runs."""

from __future__ import annotations

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
from typing import IO

from vclr.errors import UsageError, UserError
from vclr.tracking.database import artifact_root, database_file, prepare_database
from vclr.tracking.quiet import SETTINGS

START_TIMEOUT = 120.0  # seconds; a cold disk takes a good part of it
RUNS_PAGE = "/#/experiments?workflowType=machine_learning"  # without it MLflow 3 shows traces of chat applications
STOP_TIMEOUT = 10.0  # seconds until a server that does not end by itself is killed


def open_ui(uri: str, port: int = 5000, host: str = "127.0.0.1", open_browser: bool = False) -> None:
    """Serve the page until Ctrl-C; where `uri` is a server already, only say (and open) its address.

    Raises:
        UserError: there is no database yet, or the server fails.
        UsageError: the port is taken.
    """
    if uri.startswith(("http://", "https://")):
        _show(uri, open_browser)
        return
    previous = signal.signal(signal.SIGTERM, _exit_on_signal)
    try:
        with serve_ui(uri, port, host) as (address, server):
            _show(address, open_browser)
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
        Its address, once it answers there, and its process. All processes of the server are gone after the block.
    """
    _check_start(uri, port, host)
    with tempfile.TemporaryFile() as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "ui", "--host", host, "--port", str(port), "--workers", "1"],
            env=_server_environment(prepare_database(uri)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # one group of processes, so that none of them is left behind
        )
        try:
            # A wildcard is where a server listens, not an address that one opens.
            address = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"
            _wait_until_ready(server, address, output)
            yield address, server
        finally:
            _stop(server)


def _check_start(uri: str, port: int, host: str) -> None:
    database = database_file(uri)
    if database is not None and not database.is_file():
        raise UserError(f"{database}: no such database yet; the first tracked training makes it")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # As the server will: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(f"port {port} of {host}: {error.strerror}; choose another") from None


def _server_environment(uri: str) -> dict[str, str]:
    """Return the server's environment; the URI stands here because it may hold a password, as arguments must not."""
    environment = {**SETTINGS, **os.environ, "MLFLOW_BACKEND_STORE_URI": uri}
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # evaluation jobs of language models: not ours
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
    return lines[-1] if lines else "it said nothing"


def _stop(server: subprocess.Popen[bytes]) -> None:
    for kill in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, kill)
            server.wait(STOP_TIMEOUT)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _show(address: str, open_browser: bool) -> None:
    page = address.rstrip("/") + RUNS_PAGE
    print(f"MLflow: {page}", flush=True)
    if open_browser:
        webbrowser.open(page)


def _exit_on_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
