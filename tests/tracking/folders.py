"""Run folders as trainings leave them, and what a store holds of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from vclr.config import Config, dump_config
from vclr.files import write_json
from vclr.tracking.delivery import Delivered, Delivery
from vclr.tracking.description import own_settings
from vclr.tracking.points import points_of
from vclr.tracking.run_files import RunFiles

HASHES = {"annotations": "0" * 64, "images": "1" * 64}
INPUTS = {name: {"source": f"data/{name}.json", "digest": digest} for name, digest in HASHES.items()}


def describe(config: Config, run_dir: Path) -> None:
    """Write what a training writes before its first step."""
    (run_dir / "config.yaml").write_text(dump_config(config))
    write_json(run_dir / "environment.json", {"git_revision": "ab" * 20, "gpus": ["H200"], "python": "3.11"})
    write_json(run_dir / "data.json", HASHES)


def begin(config: Config, run_dir: Path, seed: int | None = None) -> RunFiles:
    """Begin a run, or continue the one that the folder holds."""
    if seed is not None:
        config = replace(config, train=replace(config.train, seed=seed, output_dir=str(run_dir)))
    run_dir.mkdir(parents=True, exist_ok=True)
    describe(config, run_dir)
    files = RunFiles(run_dir)
    if not files.identity():
        files.begin_run("training", INPUTS)
    files.begin_attempt(own_settings(config))
    return files


def record(run_dir: Path, iterations: Iterable[int], **values: float) -> None:
    """Append records of iterations to metrics.jsonl."""
    with (run_dir / "metrics.jsonl").open("a") as file:
        for iteration in iterations:
            known = {"loss": 10.0 - iteration, "loss_class": 0.1, "loss_class_0": 0.2, "lr": 0.1, **values}
            line = {"kind": "train", "iteration": iteration, "time": 1e9 + iteration, **known}
            file.write(json.dumps(line) + "\n")


def deliver(config: Config, run_dir: Path) -> Delivered:
    """Deliver a folder as a process of its own would, which knows nothing of earlier deliveries."""
    return Delivery(run_dir, config.tracking.uri).deliver()


def stored_runs(config: Config, deleted: bool = False) -> list[Run]:
    """Return all runs of trainings in the store."""
    client = MlflowClient(config.tracking.uri)
    experiment = client.get_experiment_by_name(config.tracking.experiment)
    view = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
    found = client.search_runs([experiment.experiment_id], "tags.`vclr.kind` = 'training'", view) if experiment else []
    return list(found)


def stored_run(config: Config) -> Run:
    """Return the only run of a training in the store."""
    (run,) = stored_runs(config)
    return run


def parent_of(config: Config) -> Run:
    """Return the only run of an experiment in the store."""
    client = MlflowClient(config.tracking.uri)
    experiment = client.get_experiment_by_name(config.tracking.experiment)
    (run,) = client.search_runs([experiment.experiment_id], "tags.`vclr.kind` = 'experiment'")
    return run


def stored_points(config: Config, run: Run) -> dict[str, list[tuple[int, float, int]]]:
    """Return all points of a run by curve: iteration, value, time in milliseconds."""
    client = MlflowClient(config.tracking.uri)
    return {
        key: sorted(
            (point.step, point.value, point.timestamp) for point in client.get_metric_history(run.info.run_id, key)
        )
        for key in run.data.metrics
        if not key.startswith(("results/", "probe/"))
    }


def points_in(run_dir: Path) -> dict[str, list[tuple[int, float, int]]]:
    """Return the points that metrics.jsonl holds, as `stored_points` does."""
    found: dict[str, list[tuple[int, float, int]]] = {}
    for line in (run_dir / "metrics.jsonl").read_text().splitlines():
        for point in points_of(json.loads(line)):
            found.setdefault(point.key, []).append((point.iteration, point.value, point.time_ms))
    return found


def assert_delivered(config: Config, run_dir: Path, run: Run | None = None) -> None:
    """Compare the store with the run folder, point by point."""
    stored, written = stored_points(config, run or stored_run(config)), points_in(run_dir)
    assert stored.keys() == written.keys()
    for key, points in written.items():
        assert [point[0] for point in points] == sorted({point[0] for point in points}), key
        assert stored[key] == points, key


def end(files: RunFiles, status: str = "FINISHED") -> None:
    """End the attempt as a training does."""
    files.end_attempt(len(files.attempts()), status)
    if status == "FINISHED":
        (files.run_dir / "DONE").write_text("1\n")
