"""Tests of paired values: Student's t, and the exact sign-flip test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

MAX_EXACT = 12  # pairs up to which every pattern of signs is tried; each further pair doubles the time
DIGITS = 9  # of a mean, so that patterns whose means are equal are not told apart by rounding errors
NO_SPREAD = 1e-12  # standard deviation of equal differences as a share of them, for the same reason


@dataclass(frozen=True)
class PairedResult:
    """The comparison of two lists of paired values, `a - b`.

    Attributes:
        num_pairs: number of pairs.
        mean_difference: mean of the differences.
        standard_deviation: of the differences, with n - 1. None for a single pair, as is all that follows.
        low, high: 95 % interval of the mean difference by Student's t.
        p_t: two-sided p value of the paired t test.
        p_permutation: two-sided p value of the exact sign-flip test; never below 2 / 2^n. None for more than
            `MAX_EXACT` pairs.
    """

    num_pairs: int
    mean_difference: float
    standard_deviation: float | None = None
    low: float | None = None
    high: float | None = None
    p_t: float | None = None
    p_permutation: float | None = None


def paired_test(a: list[float], b: list[float]) -> PairedResult:
    """Compare paired values, one pair per seed.

    Raises:
        ValueError: the lists are empty or differ in length.
    """
    if not a or len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} values are not pairs")
    differences = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    n, mean = len(differences), float(differences.mean())
    if n == 1:
        return PairedResult(1, mean)
    deviation, p_permutation = float(differences.std(ddof=1)), _sign_flip_p(differences)
    if deviation <= NO_SPREAD * abs(mean):  # the limit of t is infinite, unless all differences are 0
        return PairedResult(n, mean, deviation, mean, mean, 0.0 if mean else 1.0, p_permutation)
    test = stats.ttest_rel(a, b)
    interval = test.confidence_interval(0.95)
    return PairedResult(
        n, mean, deviation, float(interval.low), float(interval.high), float(test.pvalue), p_permutation
    )


def _sign_flip_p(differences: np.ndarray) -> float | None:
    """Return the share of all patterns of signs whose mean is at least as far from 0 as the one observed."""
    if len(differences) > MAX_EXACT:
        return None

    def mean(values: np.ndarray, axis: int) -> Any:
        return np.round(np.mean(values, axis=axis), DIGITS)

    test = stats.permutation_test((differences,), mean, permutation_type="samples", n_resamples=np.inf)
    return float(test.pvalue)
