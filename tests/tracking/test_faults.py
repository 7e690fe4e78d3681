"""Stores fail while a training runs: it does not notice, and afterwards the store has every point once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.tracking.faults import FaultyStore, faulty_store, make_faulty  # noqa: F401
from vclr.config import Config
from vclr.files import read_json
from vclr.tracking.run import TrackedRun

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def stored_points(uri: str, run_id: str, key: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    return [(point.step, point.value) for point in MlflowClient(uri).get_metric_history(run_id, key)]


def train(tracked: TrackedRun, iterations: range) -> float:
    """Log as a training of 50 steps per second would; return the longest time that `log` took, in seconds."""
    longest = 0.0
    for iteration in iterations:
        start = time.perf_counter()
        tracked.log({"loss": 1000.0 - iteration, "lr": 0.1}, iteration)
        longest = max(longest, time.perf_counter() - start)
        time.sleep(0.02)
    return longest


def test_training_does_not_notice_and_nothing_is_lost_or_doubled(
    faulty_store: FaultyStore,  # noqa: F811
    config: Config,
    run_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    config.tracking.uri = faulty_store.uri
    tracked = TrackedRun(config, run_dir, {})
    train(tracked, range(100))
    while not (run_dir / "mlflow_run.json").exists():
        time.sleep(0.1)
    faulty_store.begin()
    longest = train(tracked, range(100, 200))
    faulty_store.wait_until_met()
    faulty_store.end()
    longest = max(longest, train(tracked, range(200, 300)))
    tracked.finish()
    assert longest < 0.1
    run_id = read_json(run_dir / "mlflow_run.json")["run_id"]
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "")
    expected = [(iteration, 1000.0 - iteration) for iteration in range(300)]
    assert stored_points(faulty_store.true_uri, run_id, "loss") == expected
    assert len(stored_points(faulty_store.true_uri, run_id, "lr")) == 300
