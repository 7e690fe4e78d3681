"""A tracked run reads back as it was written, survives a resume, and never disturbs the training."""

from __future__ import annotations

import logging
import math
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vclr.config import Config, flat_config, load_config
from vclr.environment import describe_environment
from vclr.files import read_json, sha256
from vclr.tracking.run import TrackedRun

pytestmark = pytest.mark.timeout(120)

HASHES = {"train": "0" * 64, "test": "1" * 64}


def stored_run(config: Config, run_dir: Path):
    """Return MLflow's client and the run that the folder names."""
    from mlflow import MlflowClient

    client = MlflowClient(config.tracking.uri)
    return client, client.get_run(read_json(run_dir / "mlflow_run.json")["run_id"])


def curve(config: Config, run_dir: Path, key: str) -> list[tuple[int, float]]:
    client, run = stored_run(config, run_dir)
    return [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, key)]


def track(config: Config, run_dir: Path, iterations: range, status: str = "FINISHED") -> None:
    tracked = TrackedRun(config, run_dir, HASHES)
    for iteration in iterations:
        tracked.log({"loss": 10.0 - iteration, "lr": 0.1}, iteration)
    tracked.finish(status)


def test_everything_reads_back(config: Config, run_dir: Path, tmp_path: Path):
    checkpoint = run_dir / "last.pt"
    checkpoint.write_bytes(b"weights")
    tracked = TrackedRun(config, run_dir, HASHES)
    tracked.log({"loss": 3.0, "box_ar@100": 20.5, "nothing_to_measure": None}, 20)
    tracked.log({"loss": math.nan}, 40)
    tracked.finish(checkpoint=checkpoint)

    client, run = stored_run(config, run_dir)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "demo/seed0"
    assert run.data.params == {key: str(value) for key, value in flat_config(config).items()}
    assert run.data.tags["data.train"] == HASHES["train"]
    assert run.data.tags["experiment"] == "demo"
    assert run.data.tags["seed"] == "0"
    assert run.data.tags["checkpoint.sha256"] == sha256(checkpoint)
    assert run.data.tags["checkpoint.path"] == str(checkpoint)
    losses = curve(config, run_dir, "loss")
    assert losses[0] == (20, 3.0)
    assert losses[1][0] == 40 and math.isnan(losses[1][1])
    assert curve(config, run_dir, "box_ar_100") == [(20, 20.5)]
    assert "nothing_to_measure" not in run.data.metrics
    assert run.data.metrics["system/process_memory_megabytes"] > 10

    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"config.yaml", "environment.json"}
    written = client.download_artifacts(run.info.run_id, "config.yaml", str(tmp_path))
    assert load_config(written) == config
    assert not any("partial" in file.name for file in tmp_path.rglob("*"))


def test_what_it_runs_on_is_stored_as_it_was_described(config: Config, run_dir: Path, tmp_path: Path):
    """Not as it is when the store is written: an evaluation may have forbidden TF32 for its while."""
    environment = describe_environment() | {"device": "cuda:3", "driver": "570.1", "cuda": "12.8", "tf32": True}
    TrackedRun(config, run_dir, HASHES, environment).finish()
    client, run = stored_run(config, run_dir)
    assert (run.data.tags["device"], run.data.tags["tf32"]) == ("cuda:3", "True")
    assert (run.data.tags["version.driver"], run.data.tags["version.cuda"]) == ("570.1", "12.8")
    written = client.download_artifacts(run.info.run_id, "environment.json", str(tmp_path))
    assert read_json(Path(written)) == environment


def test_checkpoint_is_copied_when_asked(config: Config, run_dir: Path, tmp_path: Path):
    config.tracking.log_checkpoint = True
    checkpoint = run_dir / "last.pt"
    checkpoint.write_bytes(b"weights")
    tracked = TrackedRun(config, run_dir, HASHES)
    tracked.finish(checkpoint=checkpoint)
    client, run = stored_run(config, run_dir)
    copy = client.download_artifacts(run.info.run_id, "checkpoints/last.pt", str(tmp_path))
    assert Path(copy).read_bytes() == b"weights"
    assert (tmp_path / "mlartifacts" / run.info.run_id).is_dir()


def test_resume_continues_without_duplicates(config: Config, run_dir: Path):
    track(config, run_dir, range(0, 6), status="KILLED")
    _, first = stored_run(config, run_dir)
    assert first.info.status == "KILLED"

    track(config, run_dir, range(3, 9))
    _, second = stored_run(config, run_dir)
    assert second.info.run_id == first.info.run_id
    assert second.info.status == "FINISHED"
    assert curve(config, run_dir, "loss") == [(iteration, 10.0 - iteration) for iteration in range(9)]


def test_changed_settings_become_tags(config: Config, run_dir: Path):
    track(config, run_dir, range(2))
    config.optimizer.lr = 0.5
    config.views.weights["edge"] = 2.0  # a key that the first part did not have
    track(config, run_dir, range(2, 4))
    _, run = stored_run(config, run_dir)
    assert run.data.params["optimizer.lr"] == "0.0001"
    assert run.data.tags["changed.optimizer.lr"] == "0.5"
    assert run.data.params["views.weights.edge"] == "2.0"
    assert [key for key in run.data.tags if key.startswith("changed.")] == ["changed.optimizer.lr"]

    config.optimizer.lr = 1e-4
    track(config, run_dir, range(4, 6))
    _, run = stored_run(config, run_dir)
    assert run.data.tags["changed.optimizer.lr"] == "0.0001"


@pytest.mark.parametrize("reason", ["started_anew", "run_deleted", "other_store"])
def test_new_run_where_the_old_one_does_not_continue(config: Config, run_dir: Path, tmp_path: Path, reason: str):
    track(config, run_dir, range(5))
    client, old = stored_run(config, run_dir)
    if reason == "run_deleted":
        client.delete_run(old.info.run_id)
    if reason == "other_store":
        config.tracking.uri = f"sqlite:///{tmp_path}/other.db"
    tracked = TrackedRun(config, run_dir, HASHES, resume=reason != "started_anew")
    tracked.log({"loss": 1.0}, 0)
    tracked.finish()
    _, new = stored_run(config, run_dir)
    assert new.info.run_id != old.info.run_id
    assert curve(config, run_dir, "loss") == [(0, 1.0)]


def test_long_values_are_cut_not_refused(config: Config, run_dir: Path):
    config.evaluation.groups = {"novel": ["a class with a long name"] * 1000}
    track(config, run_dir, range(1))
    _, run = stored_run(config, run_dir)
    assert len(run.data.params["evaluation.groups.novel"]) == 6000


def test_disabled_tracking_leaves_nothing(config: Config, run_dir: Path, tmp_path: Path):
    config.tracking.enabled = False
    config.tracking.uri = f"sqlite:///{tmp_path}/other.db"
    track(config, run_dir, range(3))
    assert not (tmp_path / "other.db").exists()
    assert not list(run_dir.iterdir())


def test_unreachable_server_costs_no_time(config: Config, run_dir: Path, caplog: pytest.LogCaptureFixture):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        config.tracking.uri = f"http://127.0.0.1:{probe.getsockname()[1]}"
    import mlflow  # noqa: F401 - the time that its import takes is not what this is about

    start = time.monotonic()
    with caplog.at_level(logging.WARNING, "vclr"):
        track(config, run_dir, range(100))
    assert time.monotonic() - start < 5
    warnings = [record.getMessage() for record in caplog.records]
    assert len([text for text in warnings if "training continues" in text]) == 1
    assert config.tracking.uri in warnings[0]
    assert "values were not stored" in warnings[-1]


def test_silent_server_does_not_hold_up_training(config: Config, run_dir: Path, caplog: pytest.LogCaptureFixture):
    """A server that accepts connections and never answers: only `finish` waits, and no longer than the timeout."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        config.tracking.uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        tracked = TrackedRun(config, run_dir, HASHES)
        start = time.monotonic()
        for iteration in range(100):
            tracked.log({"loss": 1.0}, iteration)
        assert time.monotonic() - start < 1
    with caplog.at_level(logging.WARNING, "vclr"):
        tracked.finish("FAILED")  # the server is gone now, which breaks the waiting request off
    assert any("training continues" in record.getMessage() for record in caplog.records)


def test_store_that_comes_back_gets_everything(config: Config, run_dir: Path, tmp_path: Path):
    """A file stands where the database's folder belongs, and is taken away during the training."""
    (tmp_path / "place").write_text("in the way")
    config.tracking.uri = f"sqlite:///{tmp_path}/place/mlflow.db"
    tracked = TrackedRun(config, run_dir, HASHES)
    tracked.log({"loss": 1.0}, 1)
    time.sleep(0.5)
    (tmp_path / "place").unlink()
    tracked.log({"loss": 2.0}, 2)
    tracked.finish()
    assert curve(config, run_dir, "loss") == [(1, 1.0), (2, 2.0)]


def test_log_is_cheap(config: Config, run_dir: Path):
    tracked = TrackedRun(config, run_dir, HASHES)
    metrics = {f"loss_{index}": 1.0 for index in range(20)}
    start = time.perf_counter()
    for iteration in range(1000):
        tracked.log(metrics, iteration)
    elapsed = time.perf_counter() - start
    tracked.finish()
    assert elapsed / 1000 < 0.005
    assert len(curve(config, run_dir, "loss_0")) == 1000


def test_import_is_light():
    names = "vclr.tracking.run, vclr.tracking.ui"
    script = f"import sys; import {names}; sys.exit('mlflow' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0
