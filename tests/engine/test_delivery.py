"""What a training logged and a kill kept from the store reaches it after the resume."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.engine.same import records
from vclr.catalog.metrics import BOUNDARY, SHOWN_METRICS
from vclr.config import Config
from vclr.engine import train as train_module
from vclr.engine.train import train
from vclr.files import read_json

pytestmark = pytest.mark.timeout(300)


def test_points_that_a_kill_kept_from_the_store_arrive_after_the_resume(
    make_config: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The store fails from the start until the training is gone, in step five; its checkpoint is of step three."""
    folder = tmp_path / "seed0"
    settings = (f"train.output_dir={folder}", "tracking.enabled=True")
    config = make_config(*settings, f"tracking.uri=sqlite:///{tmp_path}/mlflow.db")
    steps, step = iter(range(4)), train_module.training_step

    def step_until_killed(*arguments: Any) -> dict[str, float]:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return step(*arguments)

    with monkeypatch.context() as broken:
        broken.setattr(train_module, "training_step", step_until_killed)
        with pytest.raises(KeyboardInterrupt):
            train(make_config(*settings, "tracking.uri=http://127.0.0.1:1"), quiet=True)
    assert [record["iteration"] for record in records(folder)] == [1, 2, 3, 4]
    train(config, resume=True, quiet=True)

    client = MlflowClient(config.tracking.uri)
    run_id = read_json(folder / "mlflow_run.json")["run_id"]
    for key in ("loss", "lr", "loss_class"):
        stored = [(point.step, point.value) for point in client.get_metric_history(run_id, f"train/{key}")]
        assert stored == [(record["iteration"], record[key]) for record in records(folder)], key
    assert len(records(folder)) == 6
    shutil.rmtree(folder)


def test_evaluations_of_student_and_teacher_are_curves_of_their_own(make_config: Callable[..., Config], tmp_path: Path):
    """With every metric of both, MLflow's page of charts would hardly open."""
    folder = tmp_path / "seed0"
    tracking = ("tracking.enabled=True", f"tracking.uri=sqlite:///{tmp_path}/mlflow.db")
    train(make_config(f"train.output_dir={folder}", *tracking, "train.max_iter=1", "train.eval_period=1"), quiet=True)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    stored = client.get_run(read_json(folder / "mlflow_run.json")["run_id"]).data.metrics
    (record,) = [record for record in records(folder) if record["kind"] == "eval"]
    for weights in ("student", "teacher"):
        curves = {key: value for key, value in stored.items() if key.startswith(f"eval_{weights}/")}
        assert curves == {
            f"eval_{weights}/{name.replace('@', '_')}": record[f"{weights}/{name}"]
            for name in SHOWN_METRICS
            if not name.startswith(BOUNDARY)
        }
    assert len(stored) < 100


def test_the_first_step_and_each_evaluation_have_pictures(make_config: Callable[..., Config], tmp_path: Path):
    folder = tmp_path / "seed0"
    tracking = ("tracking.enabled=True", f"tracking.uri=sqlite:///{tmp_path}/mlflow.db")
    train(make_config(f"train.output_dir={folder}", *tracking, "train.max_iter=3", "train.eval_period=2"), quiet=True)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    run_id = read_json(folder / "mlflow_run.json")["run_id"]
    stored = {
        Path(path.path).name: {Path(one.path).name for one in client.list_artifacts(run_id, path.path)}
        for path in client.list_artifacts(run_id, "pictures")
    }
    assert stored == {"00000001": {"views.png"}, "00000002": {"views.png", "examples.png"}}
