"""A checkpoint is one logged model of its run, however often it is logged and whenever a call was killed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from mlflow import MlflowClient

from vclr.files import read_json, sha256
from vclr.tracking import checkpoint_parts
from vclr.tracking.checkpoint_parts import join_parts, part_sizes, upload_parts
from vclr.tracking.checkpoint_pointer import CheckpointPointer
from vclr.tracking.data_sets import DataSet
from vclr.tracking.logged_models import log_checkpoint, models_of_run, names_of
from vclr.tracking.registered_models import model_of, register_best, registered_name

KEY = "results/novel/all/mask_ar_100"
DATA = {"results/novel/": DataSet("toy_val", "0123456789abcdef")}


class Killed(BaseException):
    """What `kill -9` leaves behind is what an exception leaves behind that nobody catches."""


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Any bytes: nothing here reads the weights."""
    path = tmp_path / "checkpoints" / "last.pt"
    path.parent.mkdir()
    path.write_bytes(bytes(range(250)) * 10)
    return path


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_parts, "PART_BYTES", 1000)
    monkeypatch.setattr(checkpoint_parts, "RETRY_WAITS", (0.2, 0.4))


def artifacts_of(client: MlflowClient, model_id: str) -> Path:
    return Path(client.get_logged_model(model_id).artifact_location.removeprefix("file://"))


def state_of(client: MlflowClient, run_id: str) -> list:
    """Return everything that a second call could change."""
    run = client.get_run(run_id)
    models = models_of_run(client, run)
    points = [client.get_metric_history(run_id, key) for key in sorted(run.data.metrics)]
    outputs = [(output.model_id, output.step) for output in run.outputs.model_outputs]
    stored = [
        (str(path), path.read_bytes())
        for model in models
        for path in sorted(artifacts_of(client, model.model_id).rglob("*"))
        if path.is_file()
    ]
    facts = [(m.model_id, m.name, str(m.status), m.tags, [(p.key, p.value, p.step) for p in m.metrics]) for m in models]
    return [facts, [[(p.value, p.step, p.timestamp) for p in curve] for curve in points], outputs, stored]


def test_model_points_to_the_file_and_has_metrics_of_its_data(client: MlflowClient, run_id: str, checkpoint: Path):
    model_id = log_checkpoint(client, run_id, checkpoint, {KEY: 31.5, "nan": float("nan")}, DATA, False, 900)
    (model,) = models_of_run(client, client.get_run(run_id))
    assert (model.model_id, model.name, str(model.status)) == (model_id, "last", "READY")
    digest = sha256(checkpoint)
    expected = {"path": str(checkpoint), "sha256": digest, "bytes": "2500", "iteration": "900", "names": "last"}
    assert {f"checkpoint.{key}": value for key, value in expected.items()}.items() <= model.tags.items()
    ((key, value, name, data_digest),) = [(m.key, m.value, m.dataset_name, m.dataset_digest) for m in model.metrics]
    assert (key, value, name, data_digest) == (KEY, 31.5, "toy_val", "0123456789abcdef")
    pointer = read_json(artifacts_of(client, model_id) / "data/checkpoint/pointer.json")
    assert (pointer["path"], pointer["bytes"], pointer["sha256"]) == (str(checkpoint), 2500, digest)
    assert [output.model_id for output in client.get_run(run_id).outputs.model_outputs] == [model_id]


def test_second_call_changes_nothing(client: MlflowClient, run_id: str, checkpoint: Path):
    for upload in (False, True):  # the file may be uploaded later
        arguments = (client, run_id, checkpoint, {KEY: 31.5}, DATA, upload, 900)
        first, before = log_checkpoint(*arguments), state_of(client, run_id)
        assert (log_checkpoint(*arguments), state_of(client, run_id)) == (first, before)
    assert log_checkpoint(client, run_id, checkpoint, {}, {}, False) == first
    assert state_of(client, run_id) == before, "an upload stays, and what is not said again"


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("create_logged_model", 1),
        ("log_model_artifact", 2),
        ("log_model_artifacts", 1),
        ("set_logged_model_tags", 1),
        ("finalize_logged_model", 1),
        ("log_outputs", 1),
        ("log_batch", 1),
    ],
)
def test_call_that_was_killed_after_a_request_is_completed(
    client: MlflowClient, run_id: str, checkpoint: Path, method: str, call: int
):
    count = 0

    class Dying(MlflowClient):
        pass

    def die(self: MlflowClient, *arguments: object, **named: object) -> object:
        nonlocal count
        count += 1
        result = getattr(MlflowClient, method)(self, *arguments, **named)
        if count == call:
            raise Killed
        return result

    setattr(Dying, method, die)
    with pytest.raises(Killed):
        log_checkpoint(Dying(client.tracking_uri), run_id, checkpoint, {KEY: 31.5}, DATA, True, 900)
    model_id = log_checkpoint(client, run_id, checkpoint, {KEY: 31.5}, DATA, True, 900)
    (model,) = models_of_run(client, client.get_run(run_id))
    assert (model.model_id, str(model.status)) == (model_id, "READY")
    assert [metric.value for metric in model.metrics] == [31.5] and len(client.get_metric_history(run_id, KEY)) == 1
    assert len(client.get_run(run_id).outputs.model_outputs) == 1
    pointer = CheckpointPointer.read(artifacts_of(client, model_id) / "data/checkpoint/pointer.json")
    assert pointer == CheckpointPointer.from_tags(model.tags, "") and pointer.part_bytes == 1000


def test_models_that_several_processes_created_become_one(client: MlflowClient, run_id: str, checkpoint: Path):
    model_id = log_checkpoint(client, run_id, checkpoint, {}, {}, False)
    model = client.get_logged_model(model_id)
    client.create_logged_model(model.experiment_id, "last", run_id, model.tags)
    assert log_checkpoint(client, run_id, checkpoint, {}, {}, False) == model_id
    assert [one.model_id for one in models_of_run(client, client.get_run(run_id))] == [model_id]


def test_content_decides_and_names_are_collected(client: MlflowClient, run_id: str, checkpoint: Path):
    best = checkpoint.with_name("best.pt")
    best.hardlink_to(checkpoint)
    first = log_checkpoint(client, run_id, checkpoint, {}, {}, False, 100)
    assert log_checkpoint(client, run_id, best, {}, {}, False, 100) == first
    (model,) = models_of_run(client, client.get_run(run_id))
    assert names_of(model) == ["best", "last"] and model.tags["checkpoint.path"] == str(checkpoint)
    checkpoint.unlink()
    checkpoint.write_bytes(b"of a later iteration")
    second = log_checkpoint(client, run_id, checkpoint, {}, {}, False, 200)
    assert second != first
    assert log_checkpoint(client, run_id, best, {}, {}, False, 100) == first
    tags = client.get_logged_model(first).tags
    assert tags["checkpoint.path"] == str(best), "the file that still holds the content"
    pointer = CheckpointPointer.read(artifacts_of(client, first) / "data/checkpoint/pointer.json")
    assert pointer.path == str(best)


def test_point_of_the_run_is_not_doubled(client: MlflowClient, run_id: str, checkpoint: Path):
    curve = "eval/mask_ar_100"
    for key, value, time_ms, step in [
        (KEY, 31.5, 1234, 0),
        (KEY, 33.0, 5678, 0),  # of a later evaluation
        (curve, 20.0, 100, 600),
        (curve, 20.0, 200, 900),
    ]:
        client.log_metric(run_id, key, value, timestamp=time_ms, step=step)
    before = [client.get_metric_history(run_id, key) for key in (KEY, curve)]
    model_id = log_checkpoint(client, run_id, checkpoint, {KEY: 31.5, curve: 20.0}, DATA, False, 900)
    assert [client.get_metric_history(run_id, key) for key in (KEY, curve)] == before
    points = {(p.key, p.value, p.timestamp, p.step) for p in client.get_logged_model(model_id).metrics}
    assert points == {(KEY, 31.5, 1234, 0), (curve, 20.0, 200, 900)}
    other = checkpoint.with_name("best.pt")
    other.write_bytes(b"another one")
    model_id = log_checkpoint(client, run_id, other, {KEY: 34.0}, DATA, False, 600)
    assert client.get_run(run_id).data.metrics[KEY] == 33.0, "the run still shows its own value"
    assert [(p.value, p.step) for p in client.get_logged_model(model_id).metrics] == [(34.0, -601)]


def test_value_of_a_later_evaluation_is_added(client: MlflowClient, run_id: str, checkpoint: Path):
    for value in (31.5, 32.0, 32.0):
        model_id = log_checkpoint(client, run_id, checkpoint, {KEY: value}, DATA, False, 900)
    metrics = sorted(client.get_logged_model(model_id).metrics, key=lambda metric: metric.timestamp)
    assert [metric.value for metric in metrics] == [31.5, 32.0]


def test_upload_continues_with_the_parts_that_are_missing(
    client: MlflowClient, run_id: str, checkpoint: Path, tmp_path: Path
):
    model_id = log_checkpoint(client, run_id, checkpoint, {}, {}, True)
    parts = artifacts_of(client, model_id) / "data/checkpoint"
    assert {path.name: path.stat().st_size for path in parts.glob("*.part")} == part_sizes(2500, 1000)
    (parts / "00001.part").write_bytes(b"cut")
    (parts / "00002.part").unlink()
    before = (parts / "00000.part").stat().st_ino, (parts / "00000.part").stat().st_mtime_ns
    with checkpoint.open("rb") as file:
        upload_parts(client, model_id, file, 2500)
    assert ((parts / "00000.part").stat().st_ino, (parts / "00000.part").stat().st_mtime_ns) == before
    pointer = CheckpointPointer.from_tags(client.get_logged_model(model_id).tags, "")
    joined = join_parts(pointer, lambda part: (parts / part).read_bytes(), "here")
    assert joined.read_bytes() == checkpoint.read_bytes() and joined.is_relative_to(tmp_path / "cache")


def test_part_that_fails_is_sent_again(client: MlflowClient, run_id: str, checkpoint: Path):
    model_id = log_checkpoint(client, run_id, checkpoint, {}, {}, False)
    parts = artifacts_of(client, model_id) / "data/checkpoint"
    parts.rename(aside := parts.with_name("aside"))
    parts.write_text("a file in the place of the folder: nothing can be stored in it")
    repair = threading.Timer(0.3, lambda: (parts.unlink(), aside.rename(parts)))
    repair.start()
    log_checkpoint(client, run_id, checkpoint, {}, {}, True)
    repair.join()
    assert {path.name: path.stat().st_size for path in parts.glob("*.part")} == part_sizes(2500, 1000)


def test_registry_keeps_the_best(client: MlflowClient, run_id: str, checkpoint: Path):
    models = []
    for number in range(3):
        checkpoint.write_bytes(bytes([number]) * 100)
        models.append(log_checkpoint(client, run_id, checkpoint, {}, {}, False))

    def best() -> str:
        return str(model_of(client.get_model_version_by_alias("demo", "best")))

    for _ in range(2):  # the second round changes nothing
        assert register_best(client, "demo", models[0], KEY, 20.0) == "1"
        assert register_best(client, "demo", models[1], KEY, 19.0) == "1"
        assert best() == models[0] and len(client.search_model_versions("name = 'demo'")) == 1
    assert register_best(client, "demo", models[2], KEY, 21.0) == "2" and best() == models[2]
    assert register_best(client, "demo", models[0], KEY, 20.0) == "2" and best() == models[2]
    assert register_best(client, "demo", models[2], KEY, 12.0) == "1" and best() == models[0], "evaluated again"
    assert register_best(client, "demo", models[1], "another", 1.0) == "3" and best() == models[1]


def test_names_of_experiments_become_names_of_models():
    assert registered_name("voc/to nonvoc: 50%") == "voc_to_nonvoc_50"
