"""A database that several processes meet at once is made once."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tracking.folders import assert_delivered, deliver, parent_of, stored_runs
from vclr.config import Config
from vclr.errors import UserError
from vclr.tracking.database import artifact_root, database_file, prepare_database

pytestmark = pytest.mark.timeout(240)

NUM_PROCESSES = 8
TRAINING = """
import sys
from pathlib import Path
from tests.tracking.folders import describe, record
from vclr.config import Config
from vclr.tracking.run import TrackedRun
config = Config()
config.tracking.uri, config.train.output_dir = sys.argv[1:]
folder = Path(config.train.output_dir)
folder.mkdir(parents=True)
describe(config, folder)
print("ready", flush=True)
sys.stdin.readline()
run = TrackedRun(config, folder)
record(folder, range(50))
run.finish()
"""


@pytest.mark.slow
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
            assert (process.returncode, output) == (0, ""), errors
            assert "continues" not in errors
    finally:
        for process in processes:
            process.kill()
            process.communicate()

    config = Config()
    config.tracking.uri = uri
    folders = {f"runs/seed{index}": tmp_path / "runs" / f"seed{index}" for index in range(NUM_PROCESSES)}
    for folder in folders.values():  # what the end did not wait for
        deliver(config, folder)
    runs = {run.info.run_name: run for run in stored_runs(config)}
    assert sorted(runs) == sorted(folders)
    for name, run in runs.items():
        assert run.info.status == "FINISHED"
        assert_delivered(config, folders[name], run)
    assert parent_of(config).info.run_name == "runs"


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


def foreign(database: Path, kind: str) -> None:
    """Make of MLflow's database what it cannot use."""
    if kind == "newer":
        with sqlite3.connect(database) as connection:
            connection.execute("update alembic_version set version_num = 'ffffffffffff'")
        connection.close()
    elif kind == "junk":
        database.write_bytes(b"no database at all " * 100)
    elif kind == "of another program":
        database.unlink()
        with sqlite3.connect(database) as connection:
            connection.execute("create table photos (name text)")
        connection.close()
    else:
        database.unlink()
        database.mkdir()


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("newer", r"is of a newer MLflow than [\d.]+ \(schema ffffffffffff\): install that one, or move the file away"),
        ("junk", "is not a database: move it away; metrics.jsonl of each run folder has its numbers"),
        ("of another program", "is not a database of MLflow: move it away; metrics.jsonl of each"),
        ("folder", "is a folder, not a database: move it away"),
    ],
)
def test_foreign_database_is_one_line_and_stays_as_it_is(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch, kind: str, says: str
):
    database = tmp_path / "mlflow.db"
    shutil.copy(empty_database, database)
    foreign(database, kind)
    before = database.read_bytes() if database.is_file() else None
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=f"^mlflow.db: {says}"):
        prepare_database("sqlite:///mlflow.db")
    assert before is None or database.read_bytes() == before


def artifact_addresses(database: Path) -> set[str]:
    with sqlite3.connect(database) as connection:
        rows = connection.execute("select artifact_uri from runs union select artifact_location from experiments")
        addresses = {address for (address,) in rows}
    connection.close()
    return addresses


def test_artifacts_of_a_copied_project_are_its_own(
    tmp_path: Path, empty_database: Path, caplog: pytest.LogCaptureFixture
):
    from mlflow import MlflowClient

    first, copy, alone = (tmp_path / name for name in ("first", "a copy", "alone"))
    first.mkdir()
    shutil.copy(empty_database, first / "mlflow.db")
    uri = prepare_database(f"sqlite:///{first}/mlflow.db")
    client = MlflowClient(uri)
    run = client.create_run(client.create_experiment("vclr", artifact_root(uri)))
    client.log_text(run.info.run_id, "first", "text.txt")
    shutil.copytree(first, copy)
    alone.mkdir()
    shutil.copy(first / "mlflow.db", alone)

    assert not caplog.messages
    prepare_database(f"sqlite:///{copy}/mlflow.db")
    assert f"its artifacts are no longer in {first}/mlartifacts, but in {copy}/mlartifacts" in caplog.messages[-1]
    own = f"{copy.as_uri()}/mlartifacts"
    assert all(address.startswith(own) for address in artifact_addresses(copy / "mlflow.db"))
    prepare_database(uri)  # the first one is what it was
    assert all(
        address.startswith(f"{first.as_uri()}/mlartifacts") for address in artifact_addresses(first / "mlflow.db")
    )
    prepare_database(f"sqlite:///{alone}/mlflow.db")  # a database without its artifacts still finds them
    assert artifact_addresses(alone / "mlflow.db") == artifact_addresses(first / "mlflow.db")
    assert len(caplog.messages) == 1


def test_uris(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert database_file("sqlite:///mlflow.db") == tmp_path / "mlflow.db"
    assert database_file("sqlite:////data/mlflow.db?timeout=60") == Path("/data/mlflow.db")
    assert artifact_root("sqlite:////data/mlflow.db") == "file:///data/mlartifacts"
    for server in ("http://127.0.0.1:5000", "postgresql://user@host/runs"):
        assert database_file(server) is None
        assert artifact_root(server) is None
    assert prepare_database("http://127.0.0.1:5000") == "http://127.0.0.1:5000"
