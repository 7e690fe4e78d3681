"""What is evaluated: the student or the teacher of a checkpoint, and both during a training."""

from __future__ import annotations

from dataclasses import replace

from vclr.catalog.weights import STUDENT, TEACHER, WEIGHTS
from vclr.config.tree import Config
from vclr.errors import UsageError, nearest
from vclr.option_names import option


def evaluated_weights(config: Config) -> str:
    """Return "teacher" or "student", as `train.model_ema.use_ema_weights_for_eval_only` says.

    A model of detectron2 has one set of weights, which count as a student's.
    """
    if config.detectron2.config:
        return STUDENT
    return TEACHER if config.train.model_ema.use_ema_weights_for_eval_only else STUDENT


def with_weights(config: Config, weights: str) -> Config:
    """Return the configuration with other `evaluated_weights`; "" leaves it as it is.

    Raises:
        UsageError: there are no weights of this name; names the nearest.
    """
    if not weights:
        return config
    if weights not in WEIGHTS:
        raise UsageError(
            f"{option('weights', weights)}: must be {' or '.join(WEIGHTS)}; nearest: {nearest(weights, WEIGHTS)}"
        )
    if config.detectron2.config and weights != STUDENT:
        raise UsageError(f"{option('weights', weights)}: a model of detectron2 has no {weights}; leave it out")
    average = replace(config.train.model_ema, use_ema_weights_for_eval_only=weights == TEACHER)
    return replace(config, train=replace(config.train, model_ema=average))


def evaluates_while_training(config: Config) -> bool:
    """Tell whether a training evaluates on its way, and so reads the test set."""
    return 0 < config.train.eval_period <= config.train.max_iter


def best_metric(config: Config) -> str:
    """Return `train.best_metric` with the weights that it is of (`teacher/mask_ar@100`), "" if it is off."""
    metric = config.train.best_metric
    return f"{evaluated_weights(config)}/{metric}" if metric and "/" not in metric else metric
