"""The SQLite database of the runs: created or migrated by one process while the others wait."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlparse

from vclr.errors import UserError, first_line
from vclr.file_lock import lock_file
from vclr.file_names import shown_path
from vclr.files import atomic_path
from vclr.tracking.database_server import check_connection, is_database_server
from vclr.tracking.quiet import quiet_mlflow

SQLITE_PREFIX = "sqlite:///"
ARTIFACT_FOLDER = "mlartifacts"  # beside the database
LOCK_TIMEOUT = 120.0  # seconds; a migration on a slow network disk takes some
# Columns in which MLflow stores the folders of artifacts, as absolute addresses.
ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)

log = logging.getLogger("vclr.tracking")


def database_file(uri: str) -> Path | None:
    """Return the absolute path of a SQLite file, or None if `uri` names a server."""
    if not uri.startswith(SQLITE_PREFIX):
        return None
    return Path(uri.removeprefix(SQLITE_PREFIX).partition("?")[0]).absolute()


def absolute_address(uri: str) -> str:
    """Return the address of a store so that it stays valid if the working directory changes."""
    database, (_, separator, query) = database_file(uri), uri.partition("?")
    return uri if database is None else f"{SQLITE_PREFIX}{database}{separator}{query}"


def artifact_root(uri: str) -> str | None:
    """Return where a SQLite database keeps artifacts, as a file URI; None leaves it to the server."""
    database = database_file(uri)
    return None if database is None else (database.parent / ARTIFACT_FOLDER).as_uri()


def prepare_database(uri: str) -> str:
    """Make a SQLite database ready for any number of processes.

    Processes that open a new MLflow database at the same time crash in its migrations. So one creates it, under a lock
    and a temporary name, and an older one is migrated under the same lock. Servers manage their own. In a database that
    was copied or moved from another folder, the addresses of artifacts are updated.

    Returns:
        The URI with an absolute path, which stays valid if the working directory changes.

    Raises:
        UserError: the file is not a database of MLflow, or that of a newer MLflow, or a database on a server cannot be
            reached; in one line.
    """
    database = database_file(uri)
    if database is None:
        if is_database_server(uri):
            check_connection(uri)
        return uri
    quiet_mlflow()
    database.parent.mkdir(parents=True, exist_ok=True)
    busy = f"{shown_path(database)}: another process has been creating or migrating it for {LOCK_TIMEOUT:.0f} s"
    with lock_file(Path(f"{database}.lock"), busy, LOCK_TIMEOUT):
        if database.exists():
            check_database(database)
            _migrate(database)
            _follow_move(database)
        else:
            with atomic_path(database) as partial:
                _create(f"{SQLITE_PREFIX}{partial}", str(artifact_root(uri)))
    return absolute_address(uri)


def check_database(database: Path) -> None:
    """Refuse a file that the installed MLflow cannot use."""
    if database.is_dir():
        raise UserError(f"{shown_path(database)}: is a folder, not a database: move it away")
    with _reading(database) as connection:
        tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
        if not tables:
            return  # an empty database, which a migration completes
        if "alembic_version" not in tables:
            raise _not_ours(database, "is not a database of MLflow")
        versions = [str(version) for (version,) in connection.execute("select version_num from alembic_version")]
    import mlflow
    from alembic.script import ScriptDirectory

    migrations = Path(mlflow.__file__).parent / "store" / "db_migrations"
    known = {script.revision for script in ScriptDirectory(str(migrations)).walk_revisions()}
    if not versions or not known.issuperset(versions):
        raise UserError(
            f"{shown_path(database)}: is of a newer MLflow than {mlflow.__version__} (schema {', '.join(versions)}): "
            "install that one, or move the file away"
        )


def _create(uri: str, artifacts: str) -> None:
    """Create all tables, and the experiment 0 that MLflow expects in every store."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(uri, artifacts).engine.dispose()


def _migrate(database: Path) -> None:
    """Do what `mlflow db upgrade` does; nothing if the tables are up to date."""
    from mlflow import db
    from sqlalchemy.exc import DatabaseError

    try:
        db.commands.main(["upgrade", f"{SQLITE_PREFIX}{database}"], standalone_mode=False)
    except DatabaseError as error:  # parts of the file are damaged, or it is read-only
        raise UserError(
            f"{shown_path(database)}: cannot be used by MLflow: {first_line(error.orig or error)}"
        ) from None


def _follow_move(database: Path) -> None:
    """Update the addresses of artifacts in a database that was copied or moved, to the folder beside it.

    MLflow stores absolute addresses. Without this, a copy of a project would write into the folder of the original. If
    there is no such folder beside the database, the old one stays in use: somebody has chosen it.
    """
    folder = database.parent / ARTIFACT_FOLDER
    own = folder.as_uri()
    moved = set()
    with _errors_named(database), closing(sqlite3.connect(database)) as connection, connection:
        for table, column in ADDRESSES:
            rows = connection.execute(f"select distinct {column} from {table}").fetchall()
            for (address,) in rows:
                root, found, rest = str(address).partition(f"/{ARTIFACT_FOLDER}")
                if not found or not root.startswith("file:///") or rest[:1] not in ("", "/") or root + found == own:
                    continue
                before = Path(unquote(urlparse(root + found).path))
                if before.exists() and (
                    not folder.exists() or before.samefile(folder)
                ):  # another name of the same folder
                    continue
                connection.execute(f"update {table} set {column} = ? where {column} = ?", (own + rest, address))
                if table == "runs":  # without runs, nothing is missed
                    moved.add(str(before))
    for before_move in sorted(moved):
        log.warning(
            "%s: was copied or moved; its artifacts are no longer in %s, but in %s",
            *(shown_path(database), before_move, shown_path(folder)),
        )


@contextmanager
def _reading(database: Path) -> Iterator[sqlite3.Connection]:
    with _errors_named(database), closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        yield connection


@contextmanager
def _errors_named(database: Path) -> Iterator[None]:
    """Turn an error of SQLite into one line."""
    try:
        yield
    except sqlite3.OperationalError as error:  # locked, not readable, not writable
        raise UserError(f"{shown_path(database)}: cannot be used: {error}") from None
    except sqlite3.DatabaseError:
        raise _not_ours(database, "is not a database") from None


def _not_ours(database: Path, what: str) -> UserError:
    return UserError(f"{shown_path(database)}: {what}: move it away; metrics.jsonl of each run folder has its numbers")
