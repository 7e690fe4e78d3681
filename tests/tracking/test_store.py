"""Which store is used: what is given, else what the environment says, else the database beside the work."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.tracking.folders import describe
from vclr.config import Config, load_config
from vclr.engine.run_folder import RunFolder
from vclr.errors import UserError
from vclr.files import read_json
from vclr.launch.job import prepare_job
from vclr.tracking.run import TrackedRun
from vclr.tracking.secrets import redact
from vclr.tracking.store import OWN_DATABASE, VARIABLE, complete, default_store, store_of


@pytest.mark.parametrize(
    ("given", "variable", "store"),
    [
        ("", None, OWN_DATABASE),
        ("", " ", OWN_DATABASE),
        ("", "http://mlflow.example", "http://mlflow.example"),
        ("sqlite:///other.db", "http://mlflow.example", "sqlite:///other.db"),
        ("sqlite:///other.db", None, "sqlite:///other.db"),
        ("https://***@mlflow.example", "https://me:word@mlflow.example", "https://me:word@mlflow.example"),
    ],
)
def test_the_store_that_is_given_counts_then_the_environment(
    given: str, variable: str | None, store: str, monkeypatch: pytest.MonkeyPatch
):
    if variable is not None:
        monkeypatch.setenv(VARIABLE, variable)
    assert store_of(load_config(None, [f"tracking.uri='{given}'"])) == store


def test_hidden_password_is_found_again_or_asked_for(monkeypatch: pytest.MonkeyPatch):
    whole = "postgresql://vclr:word@db/mlflow"
    assert complete(redact(whole), "http://other", whole) == whole
    assert complete("http://mlflow.example") == "http://mlflow.example"
    with pytest.raises(UserError, match=rf"^postgresql://vclr:\*\*\*@db/mlflow: .*set {VARIABLE}"):
        complete(redact(whole), "postgresql://other:word@db/mlflow")
    monkeypatch.setenv(VARIABLE, whole)
    assert complete(redact(whole)) == whole
    assert default_store() == whole


def test_run_goes_where_the_environment_says(
    config: Config, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(VARIABLE, config.tracking.uri)
    monkeypatch.chdir(tmp_path / "runs")
    config.tracking.uri = ""
    describe(config, run_dir)
    TrackedRun(config, run_dir).finish()
    assert read_json(run_dir / "mlflow_run.json")["uri"] == f"sqlite:///{tmp_path}/mlflow.db"
    assert not list((tmp_path / "runs").glob("mlflow*"))


def test_no_file_or_line_of_a_training_has_the_password(
    make_config: Callable[..., Config], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    password = uuid4().hex  # which no diff of this file has
    uri = f"postgresql://vclr:{password}@127.0.0.1:1/mlflow"
    config = make_config(f"tracking.uri={uri}", f"train.output_dir={tmp_path}/run")
    folder = RunFolder(config)
    folder.write_description({"git_revision": None})
    with caplog.at_level(logging.DEBUG, "vclr"):
        TrackedRun(config, folder.path).finish()
    assert "training continues" in caplog.text
    assert password not in caplog.text
    assert not any(password.encode() in path.read_bytes() for path in folder.path.rglob("*") if path.is_file())


def test_only_its_owner_reads_the_password_of_a_job(tmp_path: Path):
    """A job has no other way to know it; without one, its settings are as readable as any file."""
    for name, uri, mode in (("1", "postgresql://vclr:hunter2@db/mlflow", 0o600), ("2", "http://mlflow.example", 0o644)):
        (tmp_path / name).mkdir()
        job = prepare_job(tmp_path / name, load_config(None, [f"tracking.uri={uri}"]), 1)
        assert store_of(load_config(job.config_file)) == uri
        assert job.config_file.stat().st_mode & 0o777 & ~0o022 == mode & ~0o022
