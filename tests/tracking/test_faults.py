"""Stores fail while a training runs: it does not notice, and afterwards the store has every point once."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.tracking.faults import FaultyStore, faulty_store, make_faulty  # noqa: F401
from tests.tracking.folders import assert_delivered, deliver, record, stored_run
from tests.tracking.test_run import start
from vclr.config import Config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def train(run_dir: Path, iterations: Iterable[int]) -> None:
    """Write records as a training of 50 steps per second would."""
    for iteration in iterations:
        record(run_dir, [iteration])
        time.sleep(0.02)


def test_training_does_not_notice_and_nothing_is_lost_or_doubled(
    faulty_store: FaultyStore,  # noqa: F811
    config: Config,
    run_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    config.tracking.uri = faulty_store.uri
    config.tracking.experiment = tmp_path.name  # the server is that of several tests
    began = time.monotonic()
    tracked = start(config, run_dir)
    assert time.monotonic() - began < 5, "it waits for nothing"
    train(run_dir, range(100))
    while not (run_dir / "mlflow_run.json").exists():
        time.sleep(0.1)
    faulty_store.begin()
    train(run_dir, range(100, 200))
    faulty_store.wait_until_met()
    faulty_store.end()
    train(run_dir, range(200, 300))
    began = time.monotonic()
    tracked.finish()
    assert time.monotonic() - began < 20
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "")  # the sidecar cannot know the token that follows an expired one
    config.tracking.uri = faulty_store.true_uri
    deliver(config, run_dir)
    assert_delivered(config, run_dir)
    assert stored_run(config).info.status == "FINISHED"
