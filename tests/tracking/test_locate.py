"""A reference to the store leads to the file that was logged, or says in one line why not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from vclr.errors import UsageError, UserError
from vclr.tracking import checkpoint_parts
from vclr.tracking.locate_checkpoint import is_reference, locate
from vclr.tracking.logged_models import log_checkpoint
from vclr.tracking.registered_models import register_best


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_parts, "PART_BYTES", 1000)
    monkeypatch.setattr(checkpoint_parts, "RETRY_WAITS", ())


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "last.pt"
    path.write_bytes(b"weights" * 400)
    return path


def complaint(reference: str, uri: str, kind: type[UserError] = UserError) -> str:
    with pytest.raises(kind) as caught:
        locate(reference, uri)
    assert type(caught.value) is kind
    line = str(caught.value)
    assert line.startswith(f"{reference}: ") and "\n" not in line
    return line.removeprefix(f"{reference}: ")


def test_every_form_of_reference_finds_the_file(client: MlflowClient, run_id: str, checkpoint: Path):
    model_id = log_checkpoint(client, run_id, checkpoint, {}, {}, False)
    assert register_best(client, "demo", model_id, "results/box_ar_100", 20.0) == "1"
    for reference in ("models:/demo/1", "models:/demo@best", f"models:/{model_id}", f"runs:/{run_id}"):
        assert is_reference(reference) and is_reference(Path(reference)), "an option makes it a path"
        assert locate(reference, client.tracking_uri) == checkpoint
    assert locate(f"runs:/{run_id}/last", client.tracking_uri) == checkpoint
    assert not is_reference("runs/demo/seed0") and not is_reference("models/last.pt")


def test_run_stands_for_its_best_checkpoint_and_a_name_for_the_newest(
    client: MlflowClient, run_id: str, checkpoint: Path
):
    best = checkpoint.with_name("best.pt")
    best.write_bytes(b"better")
    log_checkpoint(client, run_id, checkpoint, {}, {}, False)
    assert locate(f"runs:/{run_id}", client.tracking_uri) == checkpoint
    log_checkpoint(client, run_id, best, {}, {}, False)
    checkpoint.write_bytes(b"of a later iteration")
    log_checkpoint(client, run_id, checkpoint, {}, {}, False)
    assert locate(f"runs:/{run_id}", client.tracking_uri) == best
    assert locate(f"runs:/{run_id}/last", client.tracking_uri) == checkpoint
    assert complaint(f"runs:/{run_id}/step9", client.tracking_uri) == (
        "the run has no such checkpoint; it has best, last"
    )


def test_uploaded_copy_takes_the_place_of_a_file_that_is_gone(
    client: MlflowClient, run_id: str, checkpoint: Path, tmp_path: Path
):
    model_id = log_checkpoint(client, run_id, checkpoint, {}, {}, True)
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[::-1])  # of the same size
    located = locate(f"models:/{model_id}", client.tracking_uri)
    assert located.is_relative_to(tmp_path / "cache") and located.read_bytes() == content
    parts = Path(client.get_logged_model(model_id).artifact_location.removeprefix("file://")) / "data/checkpoint"
    (parts / "00001.part").write_bytes(b"x" * 1000)
    assert locate(f"models:/{model_id}", client.tracking_uri) == located, "what was downloaded is kept"
    located.write_bytes(b"damaged")
    damage = r"the uploaded checkpoint is damaged: its sha256 is not [0-9a-f]{12}\.\.\."
    assert re.fullmatch(damage, complaint(f"models:/{model_id}", client.tracking_uri))
    assert located.read_bytes() == b"damaged", "nothing half-made replaces a file"
    (parts / "00001.part").unlink()
    missing = complaint(f"models:/{model_id}", client.tracking_uri)
    assert missing.startswith("00001.part of the checkpoint cannot be fetched: ")


def test_file_that_is_gone_or_changed_is_named(client: MlflowClient, run_id: str, checkpoint: Path):
    model_id = log_checkpoint(client, run_id, checkpoint, {}, {}, False)
    reference, uri = f"models:/{model_id}", client.tracking_uri
    content = checkpoint.read_bytes()
    copy = "; no copy of it was uploaded"
    checkpoint.write_bytes(b"shorter")
    assert complaint(reference, uri) == (
        f"{checkpoint}: has changed since it was logged: it has 7 bytes, not {len(content)}{copy}"
    )
    checkpoint.write_bytes(content[::-1])
    assert complaint(reference, uri).startswith(f"{checkpoint}: has changed since it was logged: its sha256 is no ")
    checkpoint.unlink()
    assert complaint(reference, uri) == f"{checkpoint}: no such file (any more){copy}"


def test_what_the_store_does_not_know_is_one_line(client: MlflowClient, run_id: str, tmp_path: Path):
    uri = client.tracking_uri
    assert "demo" in complaint("models:/demo/1", uri)
    client.create_registered_model("demo")
    assert "version" in complaint("models:/demo/1", uri).lower()
    assert "best" in complaint("models:/demo@best", uri)
    assert "m-12" in complaint("models:/m-12", uri)
    assert "not found" in complaint("runs:/0123456789abcdef0123456789abcdef", uri)
    assert complaint(f"runs:/{run_id}", uri) == "the run has no checkpoint in the store"
    client.create_model_version("demo", str(tmp_path / "mlartifacts"), run_id)
    assert complaint("models:/demo/1", uri) == "is not a checkpoint that vclr logged"
    foreign = client.create_logged_model(client.get_run(run_id).info.experiment_id, "foreign", run_id)
    assert complaint(f"models:/{foreign.model_id}", uri).startswith("is not a checkpoint that vclr logged: ")


@pytest.mark.parametrize(
    "reference", ["models:/demo", "models:/demo/latest", "models:/", "models:", "runs:/", "runs:/a/b/c"]
)
def test_other_forms_are_misuse(reference: str, client: MlflowClient):
    assert complaint(reference, client.tracking_uri, UsageError).startswith("is no reference to a checkpoint; expected")


def test_server_that_does_not_answer_is_one_line_without_its_password():
    line = complaint("models:/demo/1", "http://me:secret@127.0.0.1:9")
    assert "http://***@127.0.0.1:9/" in line and "secret" not in line


def test_moved_database_keeps_its_uploaded_checkpoints(
    client: MlflowClient, run_id: str, checkpoint: Path, tmp_path: Path
):
    model_id = log_checkpoint(client, run_id, checkpoint, {}, {}, True)
    content = checkpoint.read_bytes()
    checkpoint.unlink()
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("mlflow.db", "mlartifacts"):
        shutil.move(tmp_path / name, moved / name)
    assert locate(f"models:/{model_id}", f"sqlite:///{moved}/mlflow.db").read_bytes() == content


def test_a_database_is_never_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert complaint("models:/demo/1", "sqlite:///mlflow.db").startswith("mlflow.db: no such database")
    assert not list(tmp_path.iterdir())
