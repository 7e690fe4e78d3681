"""What `--checkpoint` may name beside a file and the folder of a training: a checkpoint in MLflow's store."""

from __future__ import annotations

from pathlib import Path

from vclr.tracking.locate_checkpoint import is_reference, locate
from vclr.tracking.store import complete, default_store

CHECKPOINTS = "checkpoint, run folder, or models:/NAME/VERSION, models:/NAME@best, runs:/RUN_ID of MLflow"


def as_path(checkpoint: Path, configured_uri: str = "") -> Path:
    """Return the local file that a reference to the store stands for; a path is returned as it is.

    Args:
        checkpoint: a path, or a reference; see `vclr.tracking.locate_checkpoint`.
        configured_uri: the store of the configuration, if it names one; see `vclr.tracking.store`.

    Raises:
        UserError: the store does not have the checkpoint, or its file is gone or changed.
    """
    if not is_reference(checkpoint):
        return checkpoint
    return locate(str(checkpoint), complete(configured_uri) if configured_uri else default_store())
