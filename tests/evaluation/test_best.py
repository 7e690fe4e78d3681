"""When a training ends early follows from its evaluations alone."""

from __future__ import annotations

import pytest

from vclr.config import load_config
from vclr.evaluation.best import early_end


def records(*values: float | None) -> list[dict[str, object]]:
    evaluated = [
        {"kind": "eval", "iteration": 10 * number} | ({} if value is None else {"teacher/mask_ar@100": value})
        for number, value in enumerate(values, start=1)
    ]
    return [{"kind": "train", "iteration": 5, "teacher/mask_ar@100": 99.0}, *evaluated]


@pytest.mark.parametrize(
    ("values", "patience", "min_delta", "end"),
    [
        ([1.0, 2.0, 1.5, 1.9], 2, 0.0, 40),
        ([1.0, 2.0, 1.5, 2.1, 2.0], 2, 0.0, None),
        ([1.0, 1.0], 1, 0.0, 20),  # the same is no improvement
        ([0.0, 0.0, 0.0, 5.0], 2, 0.0, 30),  # later ones do not matter
        ([1.0, None, None, 0.5], 1, 0.0, 40),  # what was not measured does not count
        ([1.0, 1.4, 1.8, 2.2], 2, 0.5, None),  # small steps add up: the third is 0.8 above the first
        ([1.0, 1.2, 1.4], 2, 0.5, 30),
        ([3.0, 2.0, 1.0], 0, 0.0, None),
        ([], 1, 0.0, None),
    ],
)
def test_patience(values: list[float | None], patience: int, min_delta: float, end: int | None):
    settings = ["train.best_metric=teacher/mask_ar@100", f"train.early_stopping.patience={patience}"]
    settings += [f"train.early_stopping.min_delta={min_delta}"] if patience else []
    assert early_end(records(*values), load_config(None, settings)) == end


def test_the_metric_is_of_the_weights_that_are_evaluated():
    settings = ["train.best_metric=mask_ar@100", "train.early_stopping.patience=1"]
    of_teacher = [*settings, "train.model_ema.use_ema_weights_for_eval_only=True"]
    assert early_end(records(1.0, 1.0), load_config(None, of_teacher)) == 20
    assert early_end(records(1.0, 1.0), load_config(None, settings)) is None


@pytest.mark.parametrize(("length", "end"), [(20, None), (21, 20)])
def test_the_last_iteration_is_no_early_end(length: int, end: int | None):
    settings = ["train.best_metric=teacher/mask_ar@100", "train.early_stopping.patience=1", "train.eval_period=10"]
    assert early_end(records(1.0, 1.0), load_config(None, [*settings, f"train.max_iter={length}"])) == end
