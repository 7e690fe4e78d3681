"""Which experiments can be compared, by paired tests over the seeds, and what else their trainings differ in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy import stats

from vclr.config import changed_by, flat_config
from vclr.data.data_sets import training_set
from vclr.report.experiments import BASELINE, FULL, VIEWS, Experiment, target_group
from vclr.views.choice import view_weights

OF_VIEWS = ("views.weights.", "data.train.views.")
OF_TEACHER = ("train.model_ema.enabled", "train.model_ema.decay")
OF_CONSISTENCY = ("model.criterion.weight_dict.loss_consistency", *OF_TEACHER)
# The pairs that answer a question, each with the settings that it is about.
PAIRS = {(VIEWS, BASELINE): OF_VIEWS, (FULL, VIEWS): OF_CONSISTENCY, (FULL, BASELINE): OF_VIEWS + OF_CONSISTENCY}
COMPARED = ("mask_ar@100", "mask_ar@10", "mask_ap", "box_ar@100", "box_ar@10", "box_ap")
MAX_EXACT = 20  # pairs up to which every pattern of signs is tried (a million of them)
# Settings that say where data is and how it is scored: the test set itself and the groups are compared, and so are the
# files of the training set.
DATA = (
    "data.",
    "views.weights",
    "dataloader.train.dataset.names",
    "dataloader.test.dataset.names",
    "evaluation.protocol",
    "evaluation.test_sets",
    "evaluation.groups",
    "evaluation.max_dets",
)


@dataclass(frozen=True)
class PairedResult:
    """The comparison of two lists of paired values, `a - b`.

    Attributes:
        num_pairs: number of pairs.
        mean_difference: mean of the differences.
        standard_deviation: of the differences, with n - 1; None for one pair, as all that follows.
        low, high: 95 % interval of the mean difference by Student's t.
        p_t: two-sided p value of the paired t test.
        p_permutation: two-sided p value of the exact sign-flip test; never below 2 / 2^n. None for more than 20 pairs.
    """

    num_pairs: int
    mean_difference: float
    standard_deviation: float | None = None
    low: float | None = None
    high: float | None = None
    p_t: float | None = None
    p_permutation: float | None = None


def paired_test(a: list[float], b: list[float]) -> PairedResult:
    """Compare paired values, one pair a seed.

    Raises:
        ValueError: the lists are empty or differ in length.
    """
    if not a or len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} values are not pairs")
    differences = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    n, mean = len(differences), float(differences.mean())
    if n == 1:
        return PairedResult(1, mean)
    deviation = float(differences.std(ddof=1))
    error = deviation / n**0.5
    reach = float(stats.t.ppf(0.975, n - 1)) * error
    # Equal differences have no spread: their t is the limit, infinite unless they are all 0.
    t = abs(mean) / error if error > 0 else (math.inf if mean else 0.0)
    p_t = float(2 * stats.t.sf(t, n - 1))
    return PairedResult(n, mean, deviation, mean - reach, mean + reach, p_t, _sign_flip_p(differences))


def _sign_flip_p(differences: np.ndarray) -> float | None:
    """Return the share of all patterns of signs whose mean is at least as far from 0 as the one observed."""
    n = len(differences)
    if n > MAX_EXACT:
        return None
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate((sums + difference, sums - difference))
    tolerance = 1e-9 * float(np.abs(differences).sum())
    return float(np.mean(np.abs(sums) >= abs(float(differences.sum())) - tolerance))


@dataclass(frozen=True)
class Comparison:
    """Two experiments side by side.

    Attributes:
        first, second: the experiments; the results are `first - second`.
        group: the group of classes that the results are of.
        results: for each metric that both have, the paired result.
        further: what their trainings differ in beside what the comparison is about; where there is anything, the
            results say nothing about that alone.
    """

    first: Experiment
    second: Experiment
    group: str
    results: dict[str, PairedResult]
    further: list[str]

    def shown(self, metric: str) -> float:
        """Return the difference of a metric as it agrees with the means that are shown."""
        return shown_difference(self.first.values(self.group, metric), self.second.values(self.group, metric))


def compare(experiments: list[Experiment]) -> dict[str, Comparison]:
    """Compare baseline, views and v-CLR, as far as they are there, on the target group of one test set.

    Of several experiments with one role, those are compared that differ least in anything else.

    Returns:
        By pair: `views - baseline`, ...
    """
    group = target_group(experiments)
    comparisons = {}
    for roles, aspect in PAIRS.items():
        firsts, seconds = ([one for one in experiments if one.role == role] for role in roles)
        pairs = [
            (first, second, further_differences(first, second, aspect)) for first, second in product(firsts, seconds)
        ]
        if pairs:
            first, second, further = min(pairs, key=lambda pair: len(pair[2]))
            results = {}
            for metric in COMPARED:
                a, b = first.values(group, metric), second.values(group, metric)
                if a and b:
                    results[metric] = paired_test(a, b)
            comparisons[" - ".join(roles)] = Comparison(first, second, group, results, further)
    return comparisons


def further_differences(one: Experiment, other: Experiment, aspect: tuple[str, ...]) -> list[str]:
    """List what two trainings differ in beside the settings that begin as one of `aspect` does.

    Counted is what has an effect: views by their share of the training, of files the paths that are read and, where
    both runs recorded them, their bytes.
    """
    first, second = _effective_settings(one), _effective_settings(other)
    keys = [key for key in first | second if first.get(key) != second.get(key) and not key.startswith(aspect)]
    hashes = one.data_hashes.keys() & other.data_hashes.keys()
    changed = [key for key in sorted(hashes) if "view" not in key and one.data_hashes[key] != other.data_hashes[key]]
    return keys + [f"content of the {key}" for key in changed]


def _effective_settings(experiment: Experiment) -> dict[str, Any]:
    config = experiment.config
    files = training_set(config)
    weights = view_weights(config.views, files)
    evaluates_teacher = config.train.model_ema.use_ema_weights_for_eval_only
    unused = () if experiment.consistency or evaluates_teacher else OF_TEACHER
    ignored = ("train.seed", *DATA, *unused)
    flat = flat_config(config)
    settings = {key: flat[key] for key in flat if changed_by(key) != "nothing" and not key.startswith(ignored)}
    settings |= {f"data.train.{key}": getattr(files, key) for key in ("annotations", "images", "proposals")}
    for view, weight in weights.items():
        settings[f"views.weights.{view}"] = round(weight / sum(weights.values()), 9)
        settings[f"data.train.views.{view}"] = files.views.get(view)
    return settings


def shown_difference(a: list[float], b: list[float]) -> float:
    """Return the difference of two means as a reader finds it who subtracts what is shown, one decimal each."""
    return float(f"{_shown(a) - _shown(b):.1f}") + 0.0  # no -0.0


def _shown(values: list[float]) -> float:
    return float(f"{np.mean(values):.1f}")
