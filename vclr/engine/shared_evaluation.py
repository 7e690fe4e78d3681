"""Evaluation by several processes: each takes a block of the test set, and the first one joins the results."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from vclr.config import Config
from vclr.engine.distributed import on_first_process, rank, wait_for_all, world_size
from vclr.evaluation.evaluate import evaluate_parts, evaluate_shard
from vclr.models.detector import Detector
from vclr.shards import Shard


def evaluate_together(
    model: Detector,
    config: Config,
    output: Path,
    quiet: bool = False,
    checkpoint: dict[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Evaluate as `evaluate` does, and write the same bytes; every process calls this with the same arguments.

    Meanwhile each process uses `output/shards/KofN`, a folder that all of them must see.

    Returns:
        The content of metrics.json on the first process, None on the others.
    """
    shards, number = output / "shards", rank()
    parts = [shards / f"{part}of{world_size()}" for part in range(1, world_size() + 1)]
    on_first_process(lambda: shards.mkdir(parents=True, exist_ok=True))  # so that a failure is reported once
    try:
        evaluate_shard(model, config, parts[number], Shard(number + 1, world_size()), quiet or number > 0, checkpoint)
        wait_for_all()
        metrics = None
        if not number:
            metrics = evaluate_parts([part / "predictions.json" for part in parts], config, output)
    except BaseException:
        _remove([parts[number]], output)
        raise
    if not number:
        _remove(parts, output)
    return metrics


def _remove(parts: list[Path], output: Path) -> None:
    """Remove the processes' output, and the folders around it if they are empty then."""
    for part in parts:
        shutil.rmtree(part, ignore_errors=True)
    with suppress(OSError):  # they may hold shards or results of another evaluation
        (output / "shards").rmdir()
        output.rmdir()
