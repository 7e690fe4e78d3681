"""Fixtures: a tracking server on PostgreSQL with a bucket, as a group runs it; a conftest.py imports those it needs.

The databases and the bucket are shared by the tests of a session; each test gets a database of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

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


@pytest.fixture
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


@pytest.fixture
def tracking_server(
    postgres: Postgres, make_database: Callable[[], str], bucket: Bucket, tmp_path: Path
) -> Iterator[TrackingServer]:
    """Run an MLflow server on an empty database of PostgreSQL, its artifacts in the bucket."""
    with TrackingServer(postgres.uri(make_database()), bucket.uri, tmp_path, bucket.environment) as server:
        yield server


@pytest.fixture
def proxy(tracking_server: TrackingServer) -> Iterator[Proxy]:
    """Run a proxy before the MLflow server."""
    with Proxy(tracking_server.uri) as proxy:
        yield proxy
