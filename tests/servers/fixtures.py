"""Fixtures: a tracking server on PostgreSQL with a bucket, as a group runs it; a conftest.py imports those it needs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from tests.servers.bucket import Bucket, running_bucket
from tests.servers.postgres import Postgres, find_program, running_postgres
from tests.servers.proxy import Proxy
from tests.servers.tracking_server import TrackingServer

numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Run a PostgreSQL server for the session."""
    if find_program("initdb") is None:
        pytest.skip("PostgreSQL is not installed: `apt-get install postgresql`")
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def mlflow_template(postgres: Postgres) -> str:
    """Make a database with MLflow's tables, which takes seconds; copies of it take a moment."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    postgres.execute("create database mlflow_template")
    SqlAlchemyStore(postgres.uri("mlflow_template"), "mlflow-artifacts:/").engine.dispose()
    return "mlflow_template"


@pytest.fixture(scope="session")
def make_database(postgres: Postgres, mlflow_template: str) -> Callable[[], str]:
    """Return a function that makes a database with MLflow's tables and returns its name."""

    def make() -> str:
        name = f"mlflow_{next(numbers)}"
        postgres.execute(f"create database {name} template {mlflow_template}")
        return name

    return make


@pytest.fixture(scope="session")
def bucket() -> Iterator[Bucket]:
    """Run an S3 server with a bucket for the session."""
    with running_bucket() as server:
        yield server


@pytest.fixture(scope="module")
def module_server(
    postgres: Postgres, make_database: Callable[[], str], bucket: Bucket, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TrackingServer]:
    """Run an MLflow server for a module: it takes seconds to start. Tests use `tracking_server`."""
    folder = tmp_path_factory.mktemp("tracking_server")
    with TrackingServer(postgres.uri(make_database()), bucket.uri, folder, bucket.environment) as server:
        yield server


@pytest.fixture
def tracking_server(module_server: TrackingServer) -> TrackingServer:
    """Return an MLflow server on PostgreSQL, its artifacts in the bucket; a test may kill it.

    Its store has the experiments of the other tests of the module, too.
    """
    if not module_server.is_running():
        module_server.start()
    return module_server


@pytest.fixture(scope="module")
def module_file_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    """Run an MLflow server on a SQLite file and a folder for a module; tests use `file_server`."""
    folder = tmp_path_factory.mktemp("file_server")
    with TrackingServer(f"sqlite:///{folder}/mlflow.db", f"{folder}/artifacts", folder) as server:
        yield server


@pytest.fixture
def file_server(module_file_server: TrackingServer) -> TrackingServer:
    """Return an MLflow server whose disk a test may fill; see `tests.servers.full_disk`."""
    if not module_file_server.is_running():
        module_file_server.start()
    return module_file_server


@pytest.fixture
def proxy(tracking_server: TrackingServer) -> Iterator[Proxy]:
    """Run a proxy before the MLflow server."""
    with Proxy(tracking_server.uri) as proxy:
        yield proxy
