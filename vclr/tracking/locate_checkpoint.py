"""From a reference to a checkpoint in MLflow's store, such as `models:/demo@best`, to a verified local file."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vclr.errors import UsageError, UserError, first_line
from vclr.file_names import shown_path
from vclr.tracking.checkpoint_parts import PARTS_FOLDER, join_parts
from vclr.tracking.checkpoint_pointer import CheckpointPointer
from vclr.tracking.database import database_file
from vclr.tracking.logged_models import models_of_run, names_of
from vclr.tracking.record import open_store
from vclr.tracking.registered_models import model_of
from vclr.tracking.secrets import redact
from vclr.tracking.store import complete, default_store

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

# One slash, or two, or three: people write all of them, and `Path` joins them.
SCHEME = re.compile(r"(models|runs):(/+|$)")
FORMS = "models:/NAME/VERSION, models:/NAME@ALIAS, models:/m-ID, runs:/RUN_ID or runs:/RUN_ID/NAME"
PREFERRED = ("best", "last")  # of a run's checkpoints


def as_path(checkpoint: Path, configured_uri: str = "") -> Path:
    """Return the local file that a reference to the store stands for; a path is returned as it is.

    Args:
        checkpoint: a path, or a reference.
        configured_uri: the store of the configuration, if it names one; see `vclr.tracking.store`.

    Raises:
        UserError: the store does not have the checkpoint, or its file is gone or changed.
    """
    if not is_reference(checkpoint):
        return checkpoint
    return locate(str(checkpoint), complete(configured_uri) if configured_uri else default_store())


def is_reference(checkpoint: str | Path) -> bool:
    """Tell whether a checkpoint is named by its place in a store instead of a path."""
    return SCHEME.match(str(checkpoint)) is not None


def locate(reference: str, uri: str) -> Path:
    """Return the local file of a checkpoint in a store, with the content that was logged.

    The file that was logged is taken if it is still there and unchanged. Otherwise an uploaded copy is downloaded,
    once, into the cache (see `cache_folder`).

    Args:
        reference: `models:/NAME/VERSION`, `models:/NAME@ALIAS`, `models:/m-ID`, `runs:/RUN_ID` (its best checkpoint,
            else its last one), or `runs:/RUN_ID/NAME`.
        uri: of the store; a database is not created.

    Raises:
        UsageError: the reference has none of these forms.
        UserError: the store does not answer or knows no such checkpoint; or the file is gone or changed, and there is
            no intact uploaded copy.
    """
    kind, _, rest = reference.partition(":")
    find = _finder(kind, rest.strip("/"))
    if find is None:
        raise UsageError(f"{reference}: is no reference to a checkpoint; expected {FORMS}")
    database = database_file(uri)
    if database is not None and not database.is_file():
        raise UserError(f"{reference}: {shown_path(database)}: no such database; set MLFLOW_TRACKING_URI")
    client = open_store(uri)
    with _explained(reference):
        model = find(client, reference)
    pointer = CheckpointPointer.from_tags(model.tags, reference)
    complaint = pointer.complaint(pointer.path)
    if not complaint:
        return Path(pointer.path)
    if pointer.part_bytes is None:
        raise UserError(f"{reference}: {complaint}; no copy of it was uploaded")
    return join_parts(pointer, lambda part: _download(client, model, part), reference)


def _finder(kind: str, rest: str) -> Callable[[MlflowClient, str], LoggedModel] | None:
    """Return what finds the model of a reference, or None if the reference has no known form."""
    name, _, wanted = rest.partition("/")
    if kind == "runs" and name and "/" not in wanted:
        return lambda client, reference: _of_run(client, name, wanted, reference)
    if kind == "models" and re.fullmatch(r"m-[0-9a-f]+", rest):
        return lambda client, _: client.get_logged_model(rest)
    if kind == "models" and name and wanted.isdecimal():
        return lambda client, reference: _of_version(client, name, wanted, reference)
    name, _, alias = rest.partition("@")
    if kind == "models" and name and alias and "/" not in rest:
        return lambda client, reference: _of_alias(client, name, alias, reference)
    return None


def _of_alias(client: MlflowClient, name: str, alias: str, reference: str) -> LoggedModel:
    return _of_version(client, name, str(client.get_model_version_by_alias(name, alias).version), reference)


def _of_version(client: MlflowClient, name: str, version: str, reference: str) -> LoggedModel:
    model_id = model_of(client.get_model_version(name, version))
    if model_id is None:
        raise UserError(f"{reference}: is not a checkpoint that vclr logged")
    return client.get_logged_model(model_id)


def _of_run(client: MlflowClient, run_id: str, name: str, reference: str) -> LoggedModel:
    """Return the newest model of a run with that name, or the one to prefer."""
    models = models_of_run(client, client.get_run(run_id))
    newest = {each: model for model in models for each in names_of(model)}  # the later ones replace the earlier
    if not newest:
        raise UserError(f"{reference}: the run has no checkpoint in the store")
    if name:
        if name not in newest:
            raise UserError(f"{reference}: the run has no such checkpoint; it has {', '.join(sorted(newest))}")
        return newest[name]
    return next((newest[each] for each in PREFERRED if each in newest), models[-1])


def _download(client: MlflowClient, model: LoggedModel, part: str) -> bytes:
    import mlflow.artifacts

    address = f"{model.artifact_location}/{PARTS_FOLDER}/{part}"
    with tempfile.TemporaryDirectory() as folder:
        downloaded = mlflow.artifacts.download_artifacts(
            artifact_uri=address, dst_path=folder, tracking_uri=client.tracking_uri
        )
        return Path(downloaded).read_bytes()


@contextmanager
def _explained(reference: str) -> Iterator[None]:
    """Say in one line what the store answered."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise UserError(f"{reference}: {redact(first_line(error))}") from None
