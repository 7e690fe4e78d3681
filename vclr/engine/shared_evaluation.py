"""Evaluation by several processes: each takes a block of the test set, and the first one joins what they found."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from vclr.config import Config
from vclr.engine.distributed import rank, wait_for_all, world_size
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
    """Evaluate as `evaluate` does, and write the same bytes; called by every process, with the same arguments.

    On the way there is `output/shards/KofN` for each process, a folder that all of them see.

    Returns:
        On the first process what metrics.json holds, None on the others.
    """
    parts = [output / "shards" / f"{number}of{world_size()}" for number in range(1, world_size() + 1)]
    shard = Shard(rank() + 1, world_size())
    evaluate_shard(model, config, parts[rank()], shard, quiet or rank() > 0, checkpoint)
    wait_for_all()
    if rank():
        return None
    metrics = evaluate_parts([part / "predictions.json" for part in parts], config, output)
    for part in parts:
        shutil.rmtree(part)
    with suppress(OSError):  # shards of another evaluation may lie there
        (output / "shards").rmdir()
    return metrics
