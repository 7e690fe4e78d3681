"""Checkpoints in a tracking server that passes artifacts on: uploaded, interrupted, downloaded elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from tests.servers.tracking_server import TrackingServer
from vclr.tracking import checkpoint_parts
from vclr.tracking.checkpoint_parts import part_sizes
from vclr.tracking.data_sets import DataSet
from vclr.tracking.locate_checkpoint import locate
from vclr.tracking.logged_models import log_checkpoint, models_of_run
from vclr.tracking.quiet import quiet_mlflow
from vclr.tracking.registered_models import register_best

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
KEY = "results/novel/all/mask_ar_100"
SIZE = 40_000_000


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TrackingServer]:
    quiet_mlflow()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(checkpoint_parts, "PART_BYTES", 1 << 20)
    with TrackingServer(f"sqlite:///{tmp_path}/server.db", f"{tmp_path}/artifacts", tmp_path) as server:
        yield server


def parts_in(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in folder.rglob("*.part")}


def test_upload_goes_on_after_the_server_was_restarted(server: TrackingServer, tmp_path: Path):
    checkpoint = tmp_path / "last.pt"
    checkpoint.write_bytes(bytes(range(256)) * (SIZE // 256))
    client = MlflowClient(server.uri)
    run_id = client.create_run(client.create_experiment("demo")).info.run_id
    client.log_metric(run_id, KEY, 31.5, timestamp=1234, step=0)
    before: dict[str, int] = {}

    def restart() -> None:
        while len(parts_in(tmp_path / "artifacts")) < 3:
            time.sleep(0.01)
        server.kill()
        sizes = part_sizes(checkpoint.stat().st_size, 1 << 20)
        stored = parts_in(tmp_path / "artifacts").items()
        before.update({name: path.stat().st_mtime_ns for name, path in stored if path.stat().st_size == sizes[name]})
        server.start()

    restarting = threading.Thread(target=restart)
    restarting.start()
    data = {"results/": DataSet("toy_val", "0123")}
    arguments = (client, run_id, checkpoint, {KEY: 31.5}, data, True, 900)
    with suppress(Exception):  # the server may be away for longer than a part is retried
        log_checkpoint(*arguments)
    restarting.join()
    model_id = log_checkpoint(*arguments)  # as the next delivery of the run folder does
    (model,) = models_of_run(client, client.get_run(run_id))
    assert (model.model_id, str(model.status)) == (model_id, "READY")
    assert [(point.value, point.dataset_name) for point in model.metrics] == [(31.5, "toy_val")]
    assert [(point.step, point.timestamp) for point in client.get_metric_history(run_id, KEY)] == [(0, 1234)]
    parts = parts_in(tmp_path / "artifacts")
    assert {name: path.stat().st_size for name, path in parts.items()} == part_sizes(SIZE // 256 * 256, 1 << 20)
    assert 3 <= len(before) < len(parts), "the server was killed in the middle"
    assert {name: parts[name].stat().st_mtime_ns for name in before} == before, "no part was sent twice"


def test_reference_downloads_what_another_machine_logged(server: TrackingServer, tmp_path: Path):
    checkpoint = tmp_path / "last.pt"
    checkpoint.write_bytes(content := b"weights" * 500_000)
    client = MlflowClient(server.uri)
    run_id = client.create_run(client.create_experiment("demo")).info.run_id
    model_id = log_checkpoint(client, run_id, checkpoint, {}, {}, True)
    assert register_best(client, "demo", model_id, KEY, 20.0) == register_best(client, "demo", model_id, KEY, 20.0)
    checkpoint.unlink()
    before = mlflow.get_tracking_uri()
    for reference in ("models:/demo/1", "models:/demo@best", f"models:/{model_id}", f"runs:/{run_id}"):
        assert locate(reference, server.uri).read_bytes() == content
    assert mlflow.get_tracking_uri() == before
