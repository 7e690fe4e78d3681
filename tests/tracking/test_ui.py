"""The page answers on a real database; its processes end with the command."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.servers.ports import free_port
from tests.tracking.folders import begin, deliver, record
from vclr.config import Config, dump_config
from vclr.errors import UsageError, UserError
from vclr.files import read_json
from vclr.tracking.mlflow_process import access_settings, until_interrupted
from vclr.tracking.ui import EXPERIMENTS_PAGE, RUNS_PAGE, open_ui, start_page

pytestmark = pytest.mark.timeout(180)


def fetch(address: str, body: dict | None = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


COMMAND = "import sys; from vclr.tracking.ui import open_ui; open_ui(sys.argv[1], int(sys.argv[2]))"


@pytest.fixture
def address(config: Config, run_dir: Path, tmp_path: Path) -> Iterator[str]:
    """Deliver a run, serve the page from a process of its own, and end it as a batch system would."""
    begin(config, run_dir)
    record(run_dir, [10], loss=0.5)
    deliver(config, run_dir)
    before = set(tmp_path.iterdir())
    arguments = [sys.executable, "-c", COMMAND, config.tracking.uri, str(free_port())]
    command = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        assert command.stdout is not None
        line = command.stdout.readline()
        assert line.startswith("MLflow: http://127.0.0.1:")
        servers = psutil.Process(command.pid).children(recursive=True)
        assert servers
        page = line.removeprefix("MLflow: ").strip()
        assert page.endswith(start_page(config.tracking.uri))
        yield page.removesuffix(start_page(config.tracking.uri))
        command.terminate()
        assert command.wait(60) == 128 + signal.SIGTERM
        assert not any(server.is_running() for server in servers)
        assert set(tmp_path.iterdir()) == before
    finally:
        command.kill()
        command.communicate()


def test_page_shows_the_run_and_leaves_no_process(address: str, config: Config, run_dir: Path):
    assert b"<title>MLflow</title>" in fetch(address)
    experiment = json.loads(fetch(f"{address}/api/2.0/mlflow/experiments/get-by-name?experiment_name=vclr"))
    query = {"experiment_ids": [experiment["experiment"]["experiment_id"]]}
    runs = json.loads(fetch(f"{address}/api/2.0/mlflow/runs/search", query))["runs"]
    assert start_page(config.tracking.uri) == RUNS_PAGE.format(experiment=query["experiment_ids"][0])
    kinds = {tag["key"]: tag["value"] for tag in experiment["experiment"]["tags"]}
    assert kinds["mlflow.experimentKind"] == "custom_model_development"
    run_id = read_json(run_dir / "mlflow_run.json")["run_id"]
    (run,) = [run for run in runs if run["info"]["run_id"] == run_id]  # the other one is its parent
    assert {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}["train/loss"] == 0.5
    assert fetch(f"{address}/get-artifact?path=config.yaml&run_uuid={run_id}").decode() == dump_config(config)


def test_bad_calls_are_one_line(config: Config, tmp_path: Path):
    with pytest.raises(UserError, match=r"other\.db: no such database yet"):
        open_ui(f"sqlite:///{tmp_path}/other.db", free_port())
    assert not (tmp_path / "other.db").exists()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match=f"port {taken.getsockname()[1]} .*choose another"):
            open_ui(config.tracking.uri, taken.getsockname()[1])


def test_server_uri_is_only_named(capsys: pytest.CaptureFixture[str]):
    open_ui("http://127.0.0.1:1")
    assert capsys.readouterr().out == f"MLflow: http://127.0.0.1:1{EXPERIMENTS_PAGE}\n"


def test_empty_database_shows_the_list_of_experiments(config: Config):
    assert start_page(config.tracking.uri) == EXPERIMENTS_PAGE


def test_other_machines_are_let_in_by_any_name_but_pages_from_elsewhere_are_not(monkeypatch: pytest.MonkeyPatch):
    """What MLflow itself makes of the settings; tests of a running server take longer and say no more."""
    from mlflow.server import security_utils

    def answers(host: str, origin: str) -> bool:
        allowed = security_utils.get_allowed_hosts_from_env() or security_utils.get_default_allowed_hosts()
        is_allowed = security_utils.is_allowed_host_header(allowed, host)
        origins = security_utils.get_allowed_origins_from_env()
        return is_allowed and not security_utils.should_block_cors_request(origin, "POST", origins)

    names = ("MLFLOW_SERVER_ALLOWED_HOSTS", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    assert not set(names) & access_settings("127.0.0.1", 5000).keys()
    for name in names:
        monkeypatch.setenv(name, access_settings("0.0.0.0", 5000)[name])
    for host in ("127.0.0.1:5000", "10.1.2.3:5000", "node17:5000", "node17.cluster.example:5000"):
        assert answers(host, f"http://{host}")
    assert not answers("node17:5000", "https://evil.example")
    monkeypatch.setenv(names[0], "only.this:5000")  # whoever says it is obeyed
    assert access_settings("0.0.0.0", 5000)[names[0]] == "only.this:5000"


def test_a_signal_that_a_library_swallows_ends_the_command_nevertheless():
    with subprocess.Popen(["sleep", "60"]) as server, until_interrupted() as wait:
        with suppress(BaseException):
            os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(SystemExit) as ending:
            wait(server)
        server.kill()
    assert ending.value.code == 128 + signal.SIGTERM
