"""The study: what experiments differ by over several seeds, with paired tests, written down."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from vclr.evaluation.experiments import (
    BASELINE,
    FULL,
    VIEWS,
    Experiment,
    differences,
    main_metric,
    provenance,
    read_experiments,
    target_group,
)
from vclr.files import atomic_path, write_json

PAIRS = ((VIEWS, BASELINE), (FULL, VIEWS), (FULL, BASELINE))
COMPARED = ("mask_ar@100", "mask_ar@10", "mask_ap", "box_ar@100", "box_ar@10", "box_ap")
MAX_EXACT = 20  # pairs up to which every pattern of signs is tried (a million of them)


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


def format_p(p: float | None) -> str:
    """Write a p value with two digits, tiny ones as a bound."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def compare(experiments: list[Experiment]) -> dict[str, dict[str, PairedResult]]:
    """Compare baseline, views and v-CLR, as far as they are there, on the target group.

    Returns:
        For each pair (`views - baseline`, ...) and metric, the paired result over the seeds.
    """
    by_role: dict[str | None, Experiment] = {}
    for experiment in experiments:
        by_role.setdefault(experiment.role, experiment)
    group = target_group(experiments)
    comparison: dict[str, dict[str, PairedResult]] = {}
    for first, second in PAIRS:
        if first in by_role and second in by_role:
            tests = {}
            for metric in COMPARED:
                a, b = (by_role[role].values(group, metric) for role in (first, second))
                if a and len(a) == len(b):
                    tests[metric] = paired_test(a, b)
            comparison[f"{first} - {second}"] = tests
    return comparison


def write_study(experiments: list[str], seeds: list[int], runs: Path, results: Path, output: Path) -> None:
    """Write `output/study.json` and `output/study.md`: means and spread over the seeds, paired tests, configuration.

    Raises:
        UserError: a file of a run is missing or damaged; names it.
    """
    read = read_experiments(experiments, seeds, runs, results)
    study = {
        "seeds": seeds,
        "target": target_group(read),
        "experiments": {experiment.name: _describe(experiment) for experiment in read},
        "comparison": {
            pair: {metric: asdict(test) for metric, test in tests.items()} for pair, tests in compare(read).items()
        },
        "configuration": differences(read),
        "environment": read[0].environment,
    }
    write_json(Path(output) / "study.json", study, indent=1)
    with atomic_path(Path(output) / "study.md") as partial:
        partial.write_text(summarize_study(read), encoding="utf-8")


def _describe(experiment: Experiment) -> dict[str, Any]:
    """Return an experiment's metrics seed by seed, with mean and spread."""
    described: dict[str, Any] = {"role": experiment.role, "views": experiment.views}
    described |= {"consistency": experiment.consistency, "iterations": experiment.config.train.max_iter, "groups": {}}
    for group, seeds in experiment.groups.items():
        described["groups"][group] = {
            metric: {
                "values": experiment.values(group, metric),
                "mean": experiment.mean(group, metric),
                "standard_deviation": experiment.spread(group, metric),
            }
            for metric in seeds[0]
        }
    return described


def summarize_study(experiments: list[Experiment]) -> str:
    """Write the study as Markdown: results, paired comparisons, what differs in the configuration, code and machine."""
    count, metric = len(experiments[0].seeds), main_metric(experiments)
    group = target_group(experiments)
    lines = [f"Mean ± standard deviation over {count} seed{'s' if count > 1 else ''}, in percent.", ""]
    lines += [*markdown_results(experiments, metric), ""]
    tests = compare(experiments)
    if tests:
        lines += [f"Differences on the group `{group}`, paired by seed:", ""]
        header = ["pair", "metric", "difference", "95 % interval", "p, t test", "p, sign flips"]
        cells = [_test_row(pair, name, test) for pair, row in tests.items() for name, test in row.items()]
        lines += [*markdown_table(header, cells), ""]
        lines += [evidence(count), ""]
    changed = differences(experiments)
    if changed:
        cells = [[f"`{key}`", *("–" if value is None else str(value) for value in row)] for key, row in changed.items()]
        lines += ["Settings that differ:", ""]
        lines += [*markdown_table(["setting", *(experiment.name for experiment in experiments)], cells), ""]
    facts = [f"{name} {value}" for name, value in provenance(experiments[0].environment).items()]
    lines += [f"Code and machine: {'; '.join(facts) or 'not recorded'}."]
    return "\n".join(lines) + "\n"


def _test_row(pair: str, metric: str, test: PairedResult) -> list[str]:
    interval = "–" if test.low is None else f"{test.low:+.1f} to {test.high:+.1f}"
    tests = [format_p(test.p_t), format_p(test.p_permutation)]
    return [pair, f"`{metric}`", f"{test.mean_difference:+.1f}", interval, *tests]


def markdown_results(experiments: list[Experiment], metric: str) -> list[str]:
    groups = list(experiments[0].groups)
    shown = [name for name in dict.fromkeys((metric, "box_ar@100")) if experiments[0].values(groups[0], name)]
    has_gap = bool(experiments[0].gaps(metric))
    header = ["experiment", *(f"{group} `{name}`" for group in groups for name in shown)] + ["gap"] * has_gap
    rows = []
    for experiment in experiments:
        row = [experiment.name]
        row += [format_values(experiment.values(group, name)) for group in groups for name in shown]
        rows.append(row + [format_values(experiment.gaps(metric))] * has_gap)
    return markdown_table(header, rows)


def markdown_table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Return the lines of a Markdown table, its first column to the left, the others to the right."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]


def format_values(values: list[float]) -> str:
    """Write the mean of some values, with its standard deviation where there are several."""
    if not values:
        return "–"
    mean = f"{np.mean(values):.1f}"
    return f"{mean} ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else mean


def evidence(num_seeds: int) -> str:
    """Say how much this many seeds can show."""
    if num_seeds == 1:
        return "One seed is no evidence: a difference between two runs may be chance."
    text = f"With {num_seeds} seeds the exact sign-flip test cannot give less than p = {2 / 2**num_seeds:.2g}"
    return text + (", so it cannot reach 0.05 by itself." if 2 / 2**num_seeds > 0.05 else ".")
