"""`vclr ui --server` on PostgreSQL and a bucket: its users log in, nobody sees its passwords, it leaves no process."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.servers.bucket import BUCKET, SECRET, Bucket
from tests.servers.ports import free_port
from tests.servers.postgres import PASSWORD, USER, Postgres
from tests.tracking.folders import describe, record
from vclr.config import Config
from vclr.errors import UsageError, UserError
from vclr.tracking.database_server import check_connection
from vclr.tracking.group_server import check_artifact_store, serve_group
from vclr.tracking.run import TrackedRun

pytestmark = pytest.mark.timeout(300)
ADMIN_PASSWORD, USER_PASSWORD = "a long password of the admin", "a long password of alice"
TRACKING = Path(__file__).parents[2] / "docs" / "tracking.md"
URI = "postgresql://vclr:hunter2@127.0.0.1:1/mlflow"


@pytest.fixture
def group_server(
    postgres: Postgres, make_database: Callable[[], str], bucket: Bucket, tmp_path: Path
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the command as a person would; yield its address and its process."""
    environment = {**os.environ, **bucket.environment, "PGPASSWORD": PASSWORD, "TMPDIR": str(tmp_path)}
    environment["MLFLOW_AUTH_ADMIN_PASSWORD"] = ADMIN_PASSWORD
    environment["MLFLOW_WORKERS"] = "1"
    uri = f"postgresql://{USER}@127.0.0.1:{postgres.port}/{make_database()}"
    options = ["--backend-store", uri, "--artifacts", bucket.uri, "--login", "--port", str(free_port())]
    command = subprocess.Popen(
        [sys.executable, "-m", "vclr.cli", "ui", "--server", *options],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=tmp_path,
    )
    try:
        assert command.stdout is not None
        lines = []
        for line in command.stdout:
            lines.append(line)
            if line.startswith("Tracking server: "):
                break
        assert command.poll() is None, lines
        yield line.removeprefix("Tracking server: ").strip(), command
    finally:
        command.terminate()  # which ends the server too
        command.communicate(timeout=60)


def add_account(address: str, user: str, password: str) -> None:
    """Run the command of docs/tracking.md, in the environment of the admin."""
    lines = [line for line in TRACKING.read_text(encoding="utf-8").splitlines() if "create_user" in line]
    line = lines[0].replace("$MLFLOW_TRACKING_URI", address).replace("alice", user)
    subprocess.run(
        ["bash", "-c", line.replace("python", sys.executable, 1)],
        input=f"{password}\n",
        text=True,
        check=True,
        timeout=120,
    )


@pytest.mark.slow
def test_group_logs_in_and_nothing_leaks_or_stays(
    group_server: tuple[str, subprocess.Popen[str]],
    bucket: Bucket,
    config: Config,
    run_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    address, command = group_server
    processes = psutil.Process(command.pid).children(recursive=True)
    shown = [argument for process in processes for argument in process.cmdline()]
    assert shown
    assert not any(secret in argument for secret in (PASSWORD, SECRET, ADMIN_PASSWORD) for argument in shown)
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.glob("tmp*.ini"))

    config.tracking.uri = ""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "not the password")
    with caplog.at_level(logging.DEBUG, "vclr"):
        describe(config, run_dir)
        TrackedRun(config, run_dir).finish()
    assert "training continues" in caplog.text
    assert not (run_dir / "mlflow_run.json").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN_PASSWORD)
    add_account(address, "alice", USER_PASSWORD)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "alice")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", USER_PASSWORD)
    before = bucket.keys()
    with caplog.at_level(logging.DEBUG, "vclr"):
        tracked = TrackedRun(config, run_dir)
        record(run_dir, [1])
        tracked.finish()
    assert (run_dir / "mlflow_run.json").exists()
    assert {key.rpartition("/")[2] for key in bucket.keys() - before} >= {"config.yaml", "environment.json"}
    assert not any(secret in caplog.text for secret in ("not the password", ADMIN_PASSWORD, USER_PASSWORD))

    command.send_signal(signal.SIGINT)
    output, _ = command.communicate(timeout=60)
    assert command.returncode == 0, output
    assert not any(secret in output for secret in (PASSWORD, SECRET, ADMIN_PASSWORD))
    assert not any(process.is_running() for process in processes)
    assert not list(tmp_path.glob("tmp*.ini"))


@pytest.mark.slow
def test_database_that_cannot_be_used_is_one_line(postgres: Postgres):
    check_connection(postgres.uri("postgres"))
    for uri, says in (
        (postgres.uri("postgres", "hunter2"), "password authentication failed"),
        (postgres.uri("missing"), 'database "missing" does not exist'),
    ):
        with pytest.raises(UserError, match=says) as failure:
            check_connection(uri)
        assert "\n" not in str(failure.value)
        assert "hunter2" not in str(failure.value) and "Pass%2F" not in str(failure.value)


@pytest.mark.slow
def test_bucket_that_cannot_be_used_is_one_line(bucket: Bucket, monkeypatch: pytest.MonkeyPatch):
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    check_artifact_store(f"s3://{BUCKET}/mlflow")
    with pytest.raises(UserError, match=r"^s3://missing/mlflow: cannot be used: .*bucket does not exist"):
        check_artifact_store("s3://missing/mlflow")
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:1")  # MLflow keeps a client per server
    with pytest.raises(UserError, match=r"needs the package boto3: pip install 'vclr\[server\]'"):
        check_artifact_store(f"s3://{BUCKET}/mlflow")


def test_bad_calls_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with pytest.raises(UsageError, match="needs --backend-store"):
        serve_group("", "s3://bucket")
    with pytest.raises(UsageError, match="needs --artifacts"):
        serve_group(URI, "")
    with pytest.raises(UsageError, match=r"http://me: is no database|http://\*\*\*"):
        serve_group("http://me:hunter2@mlflow", "s3://bucket")
    with pytest.raises(UserError, match=r"^postgresql://vclr:\*\*\*@127.0.0.1:1/mlflow: cannot connect: .*refused"):
        serve_group(URI, "s3://bucket", port=free_port())
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"^--artifacts {tmp_path}/file: "):
        check_artifact_store(f"{tmp_path}/file")
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(UserError, match=r"needs the package psycopg2: pip install 'vclr\[server\]'"):
        check_connection(URI)


def test_command_is_printed_without_passwords(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    serve_group(URI, "s3://bucket/mlflow", "0.0.0.0", 5001, only_print=True)
    printed = capsys.readouterr().out
    assert "hunter2" not in printed
    for part in (
        "MLFLOW_BACKEND_STORE_URI='postgresql://vclr:***@127.0.0.1:1/mlflow'",
        "MLFLOW_ARTIFACTS_DESTINATION=s3://bucket/mlflow",
        "MLFLOW_SERVER_ALLOWED_HOSTS='*:5001'",
        "mlflow server --serve-artifacts",
        "--host 0.0.0.0 --port 5001",
        "PGPASSWORD",
    ):
        assert part in printed, printed
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", URI)  # the shell has it already
    serve_group("", "s3://bucket/mlflow", only_print=True)
    assert "BACKEND" not in capsys.readouterr().out
