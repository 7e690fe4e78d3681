"""The report's curves and recall by object size as tables, which `dvc plots` draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vclr.catalog.metrics import SIZES
from vclr.files import write_json
from vclr.report.experiments import Experiment, by_test_set, headline_of


def write_plot_data(
    output: Path, histories: dict[str, list[list[dict[str, Any]]]], experiments: list[Experiment]
) -> None:
    """Write `output/curves.json` and `output/recall_by_size.json`: rows with a column per experiment, means over seeds.

    With several test sets, recall has a column per experiment and test set, named after both.
    """
    write_json(output / "curves.json", loss_rows(histories), indent=1)
    write_json(output / "recall_by_size.json", size_rows(experiments), indent=1)


def loss_rows(histories: dict[str, list[list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """Return the loss of each training by iteration."""
    losses: dict[int, dict[str, list[float]]] = {}
    for name, seeds in histories.items():
        for record in (record for history in seeds for record in history):
            if record["kind"] == "train" and record.get("loss") is not None:
                losses.setdefault(record["iteration"], {}).setdefault(name, []).append(record["loss"])
    return [
        {"iteration": iteration, **{name: float(np.mean(values)) for name, values in losses[iteration].items()}}
        for iteration in sorted(losses)
    ]


def size_rows(experiments: list[Experiment]) -> list[dict[str, Any]]:
    """Return recall on each group of classes by object size, of masks or else of boxes.

    Sizes without objects are left out.
    """
    compared = by_test_set(experiments)
    columns = [
        (f"{one.name} on {title}" if len(compared) > 1 else one.name, one, headline_of(on_it))
        for title, on_it in compared.items()
        for one in on_it
    ]
    rows = []
    for group in dict.fromkeys(group for _, one, _ in columns for group in one.groups):
        for size in SIZES:
            means = {name: one.mean(group, f"{metric}_{size}") for name, one, metric in columns}
            if known := {name: value for name, value in means.items() if value is not None}:
                rows.append({"objects": f"{group} {size}", **known})
    return rows
