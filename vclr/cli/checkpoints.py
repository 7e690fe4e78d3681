"""What `--checkpoint` may name beside a file and the folder of a training: a checkpoint in MLflow's store."""

from __future__ import annotations

from pathlib import Path

CHECKPOINTS = "checkpoint, run folder, or models:/NAME/VERSION, models:/NAME@best, runs:/RUN_ID of MLflow"


def as_path(checkpoint: Path, configured_uri: str = "") -> Path:
    """Return the local file of a checkpoint; see `vclr.tracking.locate_checkpoint.as_path`."""
    from vclr.tracking.locate_checkpoint import as_path as find

    return find(checkpoint, configured_uri)
