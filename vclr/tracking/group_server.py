"""A tracking server for several users: MLflow's, on a database and an artifact store that others run."""

from __future__ import annotations

import os
import secrets
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlparse

from vclr.errors import UsageError, UserError, first_line
from vclr.tracking.database import ARTIFACT_FOLDER, database_file, prepare_database
from vclr.tracking.database_server import INSTALL, is_database_server
from vclr.tracking.mlflow_process import (
    LOOPBACK,
    access_settings,
    check_port,
    command,
    running_mlflow,
    until_interrupted,
)
from vclr.tracking.quiet import quiet_mlflow
from vclr.tracking.secrets import redact

# Variables of MLflow's server, which may hold passwords and keys: never arguments, which everybody can list.
STORE = "MLFLOW_BACKEND_STORE_URI"
ARTIFACTS = "MLFLOW_ARTIFACTS_DESTINATION"
ADMIN_PASSWORD = "MLFLOW_AUTH_ADMIN_PASSWORD"
ACCOUNTS = "MLFLOW_AUTH_CONFIG_PATH"
SESSION_KEY = "MLFLOW_FLASK_SERVER_SECRET_KEY"

SERVER = ("server", "--serve-artifacts", "--uvicorn-opts", "--log-level warning")
LOGIN = ("--app-name", "basic-auth")
# Everybody with an account reads and writes all experiments. A password is hashed once a minute, not once per request.
ACCOUNTS_FILE = """[mlflow]
database_uri = {database}
default_permission = EDIT
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


def serve_group(
    store: str, artifacts: str, host: str = "127.0.0.1", port: int = 5000, login: bool = False, only_print: bool = False
) -> None:
    """Run a tracking server until Ctrl-C.

    Args:
        store: URI of the database; empty for what `MLFLOW_BACKEND_STORE_URI` names.
        artifacts: URI or folder for files, which the server reads and writes for its clients; empty for what
            `MLFLOW_ARTIFACTS_DESTINATION` names. `MLFLOW_S3_ENDPOINT_URL` and the variables of AWS say where S3 is.
        host: address to listen on.
        port: port to listen on.
        login: let only people with an account in, of whom the first is `admin`. On the first start,
            `MLFLOW_AUTH_ADMIN_PASSWORD` must hold the password of `admin`.
        only_print: print the command in place of running it. Passwords are left out.

    Raises:
        UsageError: no store is named, the port is taken, or the host is not an address of this machine.
        UserError: the database or the artifact store cannot be used, a package is missing, or the server fails.
    """
    settings = _store_settings(store, artifacts) | access_settings(host, port)
    if only_print:
        _print_command(settings, host, port, login)
        return
    check_port(host, port)
    _warn_of_passwords(store, artifacts)
    settings[STORE] = prepare_database(settings[STORE])
    check_artifact_store(settings[ARTIFACTS])
    with until_interrupted() as wait, _accounts(settings[STORE], login) as account_settings:
        arguments = SERVER + LOGIN * login
        with running_mlflow(arguments, settings | account_settings, host, port, True) as (address, server):
            print(f"Tracking server: {address}", flush=True)
            print(f"For trainings: export MLFLOW_TRACKING_URI={address}", flush=True)
            if host not in LOOPBACK and not login:
                print("Anybody who can reach this address can read and change the runs; see --login.", flush=True)
            if wait(server):
                raise UserError(f"mlflow ended with {server.returncode}")


def check_artifact_store(destination: str) -> None:
    """Look into the artifact store once, so that a mistake shows now rather than in the first training.

    Raises:
        UserError: a package is missing, there is no such bucket, or it cannot be reached or read.
    """
    scheme = urlparse(destination).scheme
    folder = (
        Path(unquote(urlparse(destination).path)) if scheme == "file" else Path(destination) if not scheme else None
    )
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--artifacts {folder}: {error.strerror}") from None
        if not os.access(folder, os.W_OK):
            raise UserError(f"--artifacts {folder}: may not be written")
        return
    quiet_mlflow()
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    try:
        get_artifact_repository(destination).list_artifacts()
    except ModuleNotFoundError as error:
        advice = f": {INSTALL}" if error.name in ("boto3", "botocore") else ""
        raise UserError(f"{redact(destination)}: needs the package {error.name}{advice}") from None
    except Exception as error:  # each kind of store has its own
        raise UserError(f"{redact(destination)}: cannot be used: {redact(first_line(error))}") from None


def _store_settings(store: str, artifacts: str) -> dict[str, str]:
    """Return the variables that name database and artifact store."""
    store = store or os.environ.get(STORE, "")
    artifacts = artifacts or os.environ.get(ARTIFACTS, "")
    if not store:
        raise UsageError(f"--server needs --backend-store, such as postgresql://vclr@db.example/mlflow, or {STORE}")
    database = database_file(store)
    if database is None and not is_database_server(store):
        raise UsageError(
            f"--backend-store {redact(store)}: is no database, such as postgresql://vclr@db.example/mlflow"
        )
    if not artifacts and database is None:
        raise UsageError(f"--server needs --artifacts, such as s3://bucket/mlflow or a folder, or {ARTIFACTS}")
    return {STORE: store, ARTIFACTS: artifacts or str(database and database.parent / ARTIFACT_FOLDER)}


def _warn_of_passwords(*addresses: str) -> None:
    for address in addresses:
        if redact(address) != address:
            print(
                f"{redact(address)}: everybody on this machine can see this password in the list of processes; set "
                f"PGPASSWORD or {STORE} instead",
                flush=True,
            )


@contextmanager
def _accounts(store: str, login: bool) -> Iterator[dict[str, str]]:
    """Write the file with which MLflow finds its accounts, in the same database; only its owner can read it."""
    if not login or ACCOUNTS in os.environ:
        yield {SESSION_KEY: os.environ.get(SESSION_KEY) or secrets.token_hex()} if login else {}
        return
    try:
        import flask_wtf  # noqa: F401 - MLflow's module of accounts needs it
    except ModuleNotFoundError as error:
        raise UserError(f"--login: needs the package {error.name}: {INSTALL}") from None
    with tempfile.NamedTemporaryFile("w", suffix=".ini") as file:
        file.write(ACCOUNTS_FILE.format(database=store.replace("%", "%%")))
        file.flush()
        yield {ACCOUNTS: file.name, SESSION_KEY: os.environ.get(SESSION_KEY) or secrets.token_hex()}


def _print_command(settings: dict[str, str], host: str, port: int, login: bool) -> None:
    """Print what a shell would run: variables that it has already are left out, and passwords are hidden."""
    own = {name: redact(value) for name, value in settings.items() if os.environ.get(name) != value}
    if any(value != settings[name] for name, value in own.items()):
        print("# Write the password in place of ***, or set PGPASSWORD.")
    arguments = command(SERVER + LOGIN * login) + ["--host", host, "--port", str(port)]
    variables = [f"{name}={shlex.quote(value)}" for name, value in own.items()]
    print(" \\\n  ".join([*variables, shlex.join(["mlflow", *arguments[3:]])]))
    if login:
        print(f"# Needs {ACCOUNTS}, {SESSION_KEY} and, on the first start, {ADMIN_PASSWORD}.")
