"""A logged checkpoint, loaded and served by MLflow, finds what `vclr predict` finds."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from typer.testing import CliRunner

from tests.servers.ports import free_port
from vclr.catalog.weights import WEIGHTS
from vclr.cli import app
from vclr.config import Config, dump_config, evaluated_weights, load_config
from vclr.errors import UserError
from vclr.evaluation.predict import predict_files
from vclr.files import read_json
from vclr.models.build import build_model
from vclr.pictures import write_png
from vclr.tracking.logged_models import log_checkpoint
from vclr.tracking.mlflow_process import running_mlflow
from vclr.tracking.registered_models import register_best

DEMO = Path(__file__).parents[2] / "configs" / "experiment" / "demo.yaml"
CPU = {"device": "cpu"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model as a training would have saved it; its teacher differs from its student."""
    config = load_config(DEMO, ["model.num_queries=20", "dataloader.test.mapper.short_edge_length=64"])
    states = []
    for seed in range(2):
        config.train.seed = seed
        states.append(build_model(config).state_dict())
    path = tmp_path_factory.mktemp("weights") / "last.pt"
    torch.save({"model": states[0], "teacher": states[1], "config": dump_config(config)}, path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "photos" / "a.png", tmp_path / "photos" / "b.png"]
    for seed, path in enumerate(paths):
        shape = (50 + 10 * seed, 70, 3)
        write_png(path, np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))
    return paths


@pytest.fixture(autouse=True)
def own_store(config: Config, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let MLflow's functions and commands find the database, as a user does."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", config.tracking.uri)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(config.tracking.uri)
    yield
    mlflow.set_tracking_uri(before)


def encode(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def table(photos: list[Path]) -> pd.DataFrame:
    return pd.DataFrame({"image": [encode(path) for path in photos], "file_name": [path.name for path in photos]})


def predicted(photos: list[Path], checkpoint: Path, output: Path, weights: str = "") -> list[Any]:
    predict_files(photos, checkpoint, output, 0.3, "cpu", weights=weights)
    return [read_json(output / f"{path.stem}.json") for path in photos]


def test_loaded_model_finds_what_predict_finds(
    client: MlflowClient, run_id: str, checkpoint: Path, photos: list[Path], tmp_path: Path
):
    model_id = log_checkpoint(client, run_id, checkpoint, {}, {}, False)
    expected = predicted(photos, checkpoint, tmp_path / "out")
    assert all(expected) and expected[0] != expected[1]
    model = mlflow.pyfunc.load_model(f"models:/{model_id}", model_config=CPU)
    assert model.predict(table(photos)) == expected
    assert len(model.predict(model.input_example)) == 1, "the example that is stored with the model"
    nameless = model.predict(table(photos[:1])[["image"]])
    assert [{**result, "file_name": "a.png"} for result in nameless[0]] == expected[0]


@pytest.mark.slow
def test_weights_are_chosen_where_the_model_is_loaded(
    client: MlflowClient, run_id: str, checkpoint: Path, photos: list[Path], tmp_path: Path
):
    model_id = log_checkpoint(client, run_id, checkpoint, {}, {}, False)
    other = next(weights for weights in WEIGHTS if weights != evaluated_weights(load_config(DEMO)))
    model = mlflow.pyfunc.load_model(f"models:/{model_id}", model_config={**CPU, "weights": other})
    expected = predicted(photos[:1], checkpoint, tmp_path / other, other)
    assert model.predict(table(photos[:1])) == expected != predicted(photos[:1], checkpoint, tmp_path / "out")


def run(*arguments: str) -> Any:
    """Run a command of vclr in this process."""
    return CliRunner().invoke(app, list(arguments))


def test_predict_takes_a_reference(
    client: MlflowClient, run_id: str, checkpoint: Path, photos: list[Path], tmp_path: Path
):
    register_best(client, "demo", log_checkpoint(client, run_id, checkpoint, {}, {}, False), "results/box_ar_100", 1.0)
    (expected,) = predicted(photos[:1], checkpoint, tmp_path / "out")
    given = ["--checkpoint", "models:/demo@best", "--device", "cpu", "--output", str(tmp_path / "by_reference")]
    assert run("predict", str(photos[0]), *given).exit_code == 0
    assert read_json(tmp_path / "by_reference" / "a.json") == expected


@pytest.mark.slow
def test_other_commands_take_references(
    client: MlflowClient, run_id: str, checkpoint: Path, photos: list[Path], tmp_path: Path
):
    register_best(client, "demo", log_checkpoint(client, run_id, checkpoint, {}, {}, False), "results/box_ar_100", 1.0)
    proposals = str(tmp_path / "proposals.json")
    given = ["--images", str(photos[0].parent), "--output", proposals, "--device", "cpu"]
    assert run("proposals", "--method", "detector", *given, "--checkpoint", "models:/demo/1").exit_code == 0
    assert read_json(proposals)["info"]["checkpoint"] == "last.pt"
    for verb in ("evaluate", "probe"):
        failed = run(verb, "--checkpoint", "models:/demo/7", "--output", str(tmp_path / verb), "-c", str(DEMO))
        assert str(failed.exception).startswith("models:/demo/7: ")
    failed = run("train", "-c", str(DEMO), f"train.output_dir={tmp_path}/run", "train.init_checkpoint=models:/demo/7")
    assert str(failed.exception).startswith("models:/demo/7: ") and not (tmp_path / "run").exists()


def test_what_is_no_photo_is_the_fault_of_the_caller(client: MlflowClient, run_id: str, checkpoint: Path):
    model_id = log_checkpoint(client, run_id, checkpoint, {}, {}, False)
    model = mlflow.pyfunc.load_model(f"models:/{model_id}", model_config=CPU)
    text = base64.b64encode(b"text").decode()
    for image, complaint in (("no base64!", "is not base64"), (text, "is not an image"), ("", "is not an image")):
        with pytest.raises(MlflowException, match=f"image of row 0: {complaint}") as caught:
            model.predict(pd.DataFrame({"image": [image]}))
        assert caught.value.get_http_status_code() == 400


def test_changed_checkpoint_is_not_served(client: MlflowClient, run_id: str, checkpoint: Path, tmp_path: Path):
    own = tmp_path / "last.pt"
    own.write_bytes(checkpoint.read_bytes())
    model_id = log_checkpoint(client, run_id, own, {}, {}, False)
    own.write_bytes(b"another")
    with pytest.raises(UserError, match=f"^{own}: has changed since it was logged: .*; no copy of it was uploaded$"):
        mlflow.pyfunc.load_model(f"models:/{model_id}", model_config=CPU)


@pytest.mark.slow
def test_uploaded_checkpoint_is_loaded_where_its_file_is_not(
    client: MlflowClient, run_id: str, checkpoint: Path, photos: list[Path], tmp_path: Path
):
    own = tmp_path / "last.pt"
    own.write_bytes(checkpoint.read_bytes())
    model_id = log_checkpoint(client, run_id, own, {}, {}, True)
    own.unlink()
    model = mlflow.pyfunc.load_model(f"models:/{model_id}", model_config=CPU)
    assert model.predict(table(photos)) == predicted(photos, checkpoint, tmp_path / "out")


def invoke(address: str, body: Any) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/invocations", data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("form", ["models:/{model_id}", "models:/demo/1", "models:/demo@best", "runs:/{run_id}/last"])
def test_served_checkpoint_answers_as_predict_does(
    form: str, client: MlflowClient, run_id: str, checkpoint: Path, photos: list[Path], tmp_path: Path
):
    model_id = log_checkpoint(client, run_id, checkpoint, {}, {}, False)
    register_best(client, "demo", model_id, "results/mask_ar_100", 20.0)
    expected = predicted(photos, checkpoint, tmp_path / "out")
    reference = form.format(model_id=model_id, run_id=run_id)
    arguments = ["models", "serve", "-m", reference, "--env-manager", "local"]
    with running_mlflow(arguments, {}, "127.0.0.1", free_port()) as (address, _):
        rows = table(photos).to_dict(orient="records")
        assert invoke(address, {"dataframe_records": rows}) == (200, {"predictions": expected}), "to the last digit"
        assert invoke(address, {"inputs": rows[:1]}) == (200, {"predictions": expected[:1]})
        wrong = {
            "image of row 1: is not an image": {"dataframe_records": [rows[0], {"image": "AAAA", "file_name": "b"}]},
            "image of row 0: is not base64": {"dataframe_records": [{"image": "photo.jpg"}]},
            "image": {"dataframe_records": [{"picture": rows[0]["image"]}]},
            "JSON": b"not json",
        }
        for complaint, body in wrong.items():
            status, answer = invoke(address, body)
            assert 400 <= status < 500 and complaint in answer["message"]
            assert "Traceback" not in json.dumps(answer)
        assert invoke(address, {"dataframe_records": rows[:1]})[0] == 200, "it goes on after wrong input"
