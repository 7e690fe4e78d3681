"""The run of an experiment: parent of the runs of its seeds, with their means."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from vclr.tracking.figures import RESULTS_KEY
from vclr.tracking.record import KIND, PARENT, RunRecord, find_or_create, find_runs
from vclr.tracking.run_files import FAILED, FINISHED, KILLED, RUNNING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# The status of an experiment is the first of these that one of its trainings has.
PRECEDENCE = (RUNNING, FAILED, KILLED, FINISHED)
MAX_ROUNDS = 10  # of an update while other trainings of the experiment change


def find_parent(client: MlflowClient, experiment_id: str, name: str, started: float) -> RunRecord:
    """Return the run of an experiment; create it if its first training begins.

    Args:
        client: of the store.
        experiment_id: of the MLflow experiment.
        name: of the experiment.
        started: when this training began, in seconds since 1970.
    """
    return find_or_create(client, experiment_id, name, {KIND: "experiment", "experiment": name}, started)


def update_parent(child: RunRecord, name: str) -> None:
    """Store the means over the newest training of each seed, how many those are, and whether one is running.

    Trainings may end at the same moment: what this wrote is written again if another one has changed meanwhile.
    """
    seen = None
    for _ in range(MAX_ROUNDS):
        children = find_runs(child.client, [child.experiment_id], {KIND: "training", "experiment": name})
        if seen == (seen := [(run.info.status, run.data.metrics) for run in children]):
            return
        parent = find_parent(child.client, child.experiment_id, name, time.time())
        for run in children:  # two processes may have created a parent at once; the younger one was removed
            if run.data.tags.get(PARENT) != parent.id:
                RunRecord(child.client, run).set_tags({PARENT: parent.id})
        newest = {run.data.tags.get("seed"): run for run in children}.values()  # an earlier one was replaced
        # The clock of another machine, which wrote before, may be ahead.
        parent.write_figures(_means([*newest]), max(round(1000 * time.time()), parent.newest_figure() + 1))
        statuses = {run.info.status for run in newest}
        parent.set_status(next((status for status in PRECEDENCE if status in statuses), RUNNING), None)


def _means(runs: Sequence[Run]) -> dict[str, float]:
    """Return the mean of each figure over the trainings that have it, and the number of trainings with figures."""
    figures = [
        {key: value for key, value in run.data.metrics.items() if key.startswith(RESULTS_KEY) and not _is_bound(key)}
        for run in runs
    ]
    evaluated = [one for one in figures if one]
    if not evaluated:
        return {}
    keys = dict.fromkeys(key for one in evaluated for key in one)
    means = {key: fmean(one[key] for one in evaluated if key in one) for key in keys}
    return means | {"num_seeds": float(len(evaluated))}


def _is_bound(key: str) -> bool:
    """Tell whether a figure is a bound of an interval over images; the mean of bounds bounds nothing."""
    return key.endswith(("/low", "/high"))
