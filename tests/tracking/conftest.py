"""A configuration whose runs and database lie in a temporary folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.servers.fixtures import (  # noqa: F401
    bucket,
    file_server,
    make_database,
    mlflow_template,
    module_file_server,
    module_server,
    postgres,
    proxy,
    tracking_server,
)
from vclr.config import Config, load_config
from vclr.tracking import secrets
from vclr.tracking.database import artifact_root, prepare_database


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one database for all tests to copy: making one takes seconds."""
    database = tmp_path_factory.mktemp("database") / "mlflow.db"
    prepare_database(f"sqlite:///{database}")
    return database


@pytest.fixture(autouse=True)
def package_for_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes that a test starts import this package, wherever they run."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.fixture(autouse=True)
def no_passwords_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the passwords of stores, which a process hides from then on wherever they stand."""
    monkeypatch.setattr(secrets, "_passwords", set())


@pytest.fixture
def config(tmp_path: Path, empty_database: Path) -> Config:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    config = load_config()
    config.tracking.uri = f"sqlite:///{tmp_path}/mlflow.db"
    config.train.output_dir = str(tmp_path / "runs" / "demo" / "seed0")
    return config


@pytest.fixture
def run_dir(config: Config) -> Path:
    folder = Path(config.train.output_dir)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def client(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A client of the database; downloaded checkpoints are kept in the temporary folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return MlflowClient(config.tracking.uri)


@pytest.fixture
def run_id(client: MlflowClient) -> str:
    """A run of the experiment `demo`, with nothing in it."""
    experiment = client.create_experiment("demo", artifact_root(client.tracking_uri))
    return str(client.create_run(experiment).info.run_id)
