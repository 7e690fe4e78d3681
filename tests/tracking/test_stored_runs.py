"""Runs read from a SQLite file are those that MLflow's client gives."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from benchmarks.simulated_store import fill_store
from vclr.errors import UserError
from vclr.tracking import stored_runs
from vclr.tracking.stored_runs import PARENT, StoredRun, find_stored_runs, from_mlflow, open_client


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> str:
    database = tmp_path_factory.mktemp("stored") / "mlflow.db"
    shutil.copy(empty_database, database)
    uri = f"sqlite:///{database}"
    experiment = fill_store(uri, experiments=3, seeds=2, keys=30)
    fill_store(uri, experiments=1, seeds=1, keys=30, name="another")
    client = open_client(uri)
    client.delete_run(client.search_runs([experiment], "tags.seed = '1'", max_results=1)[0].info.run_id)
    client.log_metric(client.search_runs([experiment], max_results=1)[0].info.run_id, "results/x", float("nan"))
    return uri


def by_name(runs: list[StoredRun]) -> list[str]:
    return [run.name for run in runs]


def test_the_file_says_what_the_client_says(store: str):
    client = open_client(store)
    for experiment in ("vclr", "another"):
        number = client.get_experiment_by_name(experiment).experiment_id
        expected = [from_mlflow(run, experiment) for run in client.search_runs([number])]
        found = find_stored_runs(store, [], [experiment])
        assert sorted(found, key=lambda run: run.id) == sorted(expected, key=lambda run: run.id)
        assert all(len(run.figures) in (18, 22) for run in found), "18 results, and the ends of two intervals"


def test_runs_are_found_by_id_by_parent_and_by_experiment_in_a_file_and_on_a_server(
    store: str, monkeypatch: pytest.MonkeyPatch
):
    runs = find_stored_runs(store, [], ["vclr"])
    parent = next(run for run in runs if run.name == "exp0")
    seed = next(run for run in runs if run.name == "exp2/seed0")
    wanted: list[tuple[list[str], list[str]]] = [([parent.id, seed.id], []), ([], ["exp1"]), ([], ["it's none"])]
    from_file = [find_stored_runs(store, *names) for names in wanted]
    monkeypatch.setattr(stored_runs, "database_file", lambda uri: None)
    monkeypatch.setattr(stored_runs, "MAX_PAGE", 2)
    assert [find_stored_runs(store, *names) for names in wanted] == from_file
    assert by_name(from_file[0])[0] == "exp0" and "exp2/seed0" in by_name(from_file[0])
    assert {run.tags.get(PARENT) for run in from_file[0] if run.name.startswith("exp0/")} == {parent.id}
    assert {name.partition("/")[0] for name in by_name(from_file[1])} == {"exp1"}
    assert from_file[2] == []


def test_what_cannot_be_read_is_one_line(tmp_path: Path):
    with pytest.raises(UserError, match=r"none.db: no such database; name the store with --uri"):
        find_stored_runs(f"sqlite:///{tmp_path}/none.db", [], ["vclr"])
    (tmp_path / "text.db").write_text("not a database, but long enough for its header to be read " * 20)
    with pytest.raises(UserError, match=r"text.db: cannot be read as a database of MLflow: "):
        find_stored_runs(f"sqlite:///{tmp_path}/text.db", [], ["vclr"])
    with pytest.raises(UserError, match=re.escape("http://***@127.0.0.1:1: cannot be read: ")) as raised:
        find_stored_runs("http://me:secret@127.0.0.1:1", [], ["vclr"])
    assert "\n" not in str(raised.value) and "secret" not in str(raised.value)
