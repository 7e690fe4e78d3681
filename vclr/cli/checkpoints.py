"""What `--checkpoint` may name beside a file and the folder of a training: a checkpoint in MLflow's store."""

from __future__ import annotations

from pathlib import Path

from vclr.tracking.locate_checkpoint import is_reference, locate, store_uri

CHECKPOINTS = "checkpoint, run folder, or models:/NAME/VERSION, models:/NAME@best, runs:/RUN_ID of MLflow"


def as_path(checkpoint: Path, configured_uri: str = "") -> Path:
    """Return the local file that a reference to the store stands for; a path is returned as it is.

    Args:
        checkpoint: a path, or a reference; see `vclr.tracking.locate_checkpoint`.
        configured_uri: the store of the configuration, which counts if MLFLOW_TRACKING_URI is not set.

    Raises:
        UserError: the store does not have the checkpoint, or its file is gone or changed.
    """
    return locate(str(checkpoint), store_uri(configured_uri)) if is_reference(checkpoint) else checkpoint
