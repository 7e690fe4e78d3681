"""A database that several processes meet at once is made once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from vclr.tracking.database import artifact_root, database_file, prepare_database

pytestmark = pytest.mark.timeout(240)

NUM_PROCESSES = 4
TRAINING = """
import sys
from pathlib import Path
from vclr.config import Config
from vclr.tracking import TrackedRun
config = Config()
config.tracking.uri, config.train.output_dir = sys.argv[1:]
Path(config.train.output_dir).mkdir(parents=True)
print("ready", flush=True)
sys.stdin.readline()
run = TrackedRun.open(config, Path(config.train.output_dir), {})
for iteration in range(50):
    run.log({"loss": 1.0}, iteration)
run.finish()
"""


def test_processes_that_start_at_once_on_a_fresh_database(tmp_path: Path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TRAINING, uri, str(tmp_path / "runs" / f"seed{index}")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(NUM_PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            output, errors = process.communicate(timeout=200)
            assert (process.returncode, output, errors) == (0, "", "")  # MLflow's chatter is silenced too
    finally:
        for process in processes:
            process.kill()
            process.communicate()

    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("vclr")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(run.info.run_name for run in runs) == [f"runs/seed{index}" for index in range(NUM_PROCESSES)]
    for run in runs:
        assert run.info.status == "FINISHED"
        assert len(client.get_metric_history(run.info.run_id, "loss")) == 50


def test_database_of_an_older_version_is_migrated(tmp_path: Path):
    """An empty file is the oldest version there is."""
    (tmp_path / "mlflow.db").touch()
    uri = prepare_database(f"sqlite:///{tmp_path}/mlflow.db")
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        assert connection.execute("select count(*) from runs").fetchone() == (0,)
    connection.close()
    assert prepare_database(uri) == uri


def test_failed_creation_leaves_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(uri: str, artifacts: str) -> None:
        Path(uri.removeprefix("sqlite:///")).write_bytes(b"half a database")
        raise RuntimeError("disk full")

    monkeypatch.setattr("vclr.tracking.database._create", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        prepare_database(f"sqlite:///{tmp_path}/mlflow.db")
    assert [file.name for file in tmp_path.iterdir() if file.suffix != ".lock"] == []


def test_uris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert database_file("sqlite:///mlflow.db") == tmp_path / "mlflow.db"
    assert database_file("sqlite:////data/mlflow.db?timeout=60") == Path("/data/mlflow.db")
    assert artifact_root("sqlite:////data/mlflow.db") == "file:///data/mlartifacts"
    for server in ("http://127.0.0.1:5000", "postgresql://user@host/runs"):
        assert database_file(server) is None
        assert artifact_root(server) is None
        assert prepare_database(server) == server
