"""Which evaluation of a training is the best one, and when a training ends early. Imports no torch.

Both follow from the evaluations in metrics.jsonl alone, so a resumed training decides as one that never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from vclr.config import Config, best_metric


def early_end(records: Iterable[Mapping[str, Any]], config: Config) -> int | None:
    """Return the iteration at which `train.early_stopping` ends a training; None if it goes on to its last one.

    Args:
        records: the content of metrics.jsonl, in order. An evaluation that could not measure the metric does not count.
        config: the training.
    """
    stopping, metric = config.train.early_stopping, best_metric(config)
    best, waited = -math.inf, 0
    for record in records:
        if not stopping.patience or record["kind"] != "eval" or record.get(metric) is None:
            continue
        has_improved = record[metric] > best + stopping.min_delta
        best, waited = (record[metric], 0) if has_improved else (best, waited + 1)
        if waited == stopping.patience:
            return int(record["iteration"]) if record["iteration"] < config.train.max_iter else None
    return None
