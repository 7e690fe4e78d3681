"""The SQLite database of the runs: made or migrated by one process while the others wait."""

from __future__ import annotations

from pathlib import Path

from vclr.files import atomic_path
from vclr.tracking.quiet import quiet_mlflow

SQLITE_PREFIX = "sqlite:///"
ARTIFACT_FOLDER = "mlartifacts"  # beside the database
LOCK_TIMEOUT = 120.0  # seconds; a migration on a slow network disk takes some


def database_file(uri: str) -> Path | None:
    """Return the absolute path of a SQLite file, or None where `uri` names a server."""
    if not uri.startswith(SQLITE_PREFIX):
        return None
    return Path(uri.removeprefix(SQLITE_PREFIX).partition("?")[0]).absolute()


def artifact_root(uri: str) -> str | None:
    """Return where a SQLite database keeps artifacts, as a file URI; None leaves it to the server."""
    database = database_file(uri)
    return None if database is None else (database.parent / ARTIFACT_FOLDER).as_uri()


def prepare_database(uri: str) -> str:
    """Make a SQLite database ready for any number of processes.

    Processes that first touch a new MLflow database together crash in its migrations. So one makes it, under a lock
    and under a temporary name, and an older one is migrated under the same lock. Servers look after their own.

    Args:
        uri: any MLflow tracking URI.

    Returns:
        The URI with an absolute path, so that a later change of the working directory does no harm.
    """
    database = database_file(uri)
    if database is None:
        return uri
    quiet_mlflow()
    from filelock import FileLock

    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock", timeout=LOCK_TIMEOUT):
        if database.exists():
            _migrate(f"{SQLITE_PREFIX}{database}")
        else:
            with atomic_path(database) as partial:
                _create(f"{SQLITE_PREFIX}{partial}", str(artifact_root(uri)))
    _, separator, query = uri.partition("?")
    return f"{SQLITE_PREFIX}{database}{separator}{query}"


def _create(uri: str, artifacts: str) -> None:
    """Build all tables and the experiment 0 that MLflow expects in every store."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(uri, artifacts).engine.dispose()


def _migrate(uri: str) -> None:
    """Do what `mlflow db upgrade` does; nothing where the tables are of this version."""
    from mlflow import db

    db.commands.main(["upgrade", uri], standalone_mode=False)
