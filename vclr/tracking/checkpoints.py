"""The checkpoints of a run folder in MLflow: logged models with their results, the best one registered."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from vclr.files import sha256
from vclr.tracking.figures import Result
from vclr.tracking.logged_models import log_checkpoint
from vclr.tracking.record import RunRecord
from vclr.tracking.registered_models import register_best


def deliver_checkpoint(
    record: RunRecord, checkpoint: Path, results: Iterable[Result], experiment: str, upload: bool
) -> None:
    """Log a checkpoint with the results that were measured with it, and register it if it is the best one so far.

    The first evaluation decides which one is best.

    Args:
        record: the run, in which the results are stored already.
        checkpoint: the file.
        results: of the run, the oldest first.
        experiment: the name of the experiment, and of its registered model.
        upload: store the file too, not only where it is.
    """
    digest = sha256(checkpoint)
    own = [result for result in results if result.checkpoint == digest]
    figures = {key: value for result in own for key, value in result.figures.items()}
    measured_on = {key: result.test_set for result in own for key in result.figures}
    iteration = own[0].iteration if own else None
    model = log_checkpoint(record.client, record.id, checkpoint, figures, measured_on, upload, iteration)
    headline = next((result.headline for result in own if result.headline), None)
    if headline:
        register_best(record.client, experiment, model, headline, figures[headline])
