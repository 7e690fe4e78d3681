"""What the numbers say, in sentences: no more than trainings and seeds allow, and never across test sets."""

from __future__ import annotations

from vclr.catalog.classes import KNOWN, NOVEL
from vclr.evaluation.intervals import Interval
from vclr.report.comparison import Comparison, Pairs, compare, shown_difference
from vclr.report.differences import describe_differences
from vclr.report.experiments import Experiment, groups_of, main_metric
from vclr.report.paired_test import MAX_EXACT, PairedResult

MAX_NAMED = 3  # settings that a sentence names


def findings(experiments: list[Experiment], pairs: Pairs = ()) -> list[str]:
    """Say what experiments reached on one test set, and how pairs of them compare."""
    metric = main_metric(experiments)
    sentences = []
    for experiment in experiments:
        if experiment.gaps(metric):
            known, novel = (experiment.values(group, metric) for group in (KNOWN, NOVEL))
            sentences.append(
                f"{experiment.name}: recall of {experiment.mean(KNOWN, metric):.1f} % on known and "
                f"{experiment.mean(NOVEL, metric):.1f} % on novel objects ({metric}), "
                f"a gap of {shown_difference(known, novel):.1f} points."
            )
    comparisons = compare(experiments, pairs).values()
    sentences += [_describe(comparison, metric) for comparison in comparisons if metric in comparison.results]
    return sentences + _about_proposals(experiments, metric)


def _describe(comparison: Comparison, metric: str) -> str:
    first, second, difference = comparison.first.name, comparison.second.name, comparison.shown(metric)
    side = "higher" if difference > 0 else "lower"
    amount = f"{abs(difference):.1f} points {side} than" if difference else "the same as"
    return (
        f"Recall of {first} on {comparison.group} objects is {amount} that of {second} "
        f"({_certainty(comparison.results[metric], comparison.over_images.get(metric))}). "
        f"{describe_differences(comparison.differences, MAX_NAMED)}"
    )


def _certainty(test: PairedResult, over_images: Interval | None) -> str:
    """Say how certain a difference is, over seeds and over images."""
    images = f"95 % interval over images {format_interval(over_images, '+.1f')}".replace("-", "−")
    if test.low is None or test.high is None:
        return f"one seed; {images}" if over_images else "one seed"
    interval = f"{test.low:+.1f} to {test.high:+.1f}".replace("-", "−")
    text = f"95 % interval {interval}, paired t test p {_equals(test.p_t)}"
    if test.p_permutation is not None:
        text += f", sign flips p {_equals(test.p_permutation)}"
    verdict = "; the interval contains 0, so this is no evidence of an effect" if test.low <= 0 <= test.high else ""
    return text + verdict + (f"; {images}" if over_images else "")


def _about_proposals(experiments: list[Experiment], metric: str) -> list[str]:
    """Say for which groups the object proposals find more than every detector."""
    proposals = next((experiment.proposals for experiment in experiments if experiment.proposals), {})
    ahead = []
    for group in groups_of(experiments):
        value = proposals.get(group, {}).get(metric)
        best = max((mean for one in experiments if (mean := one.mean(group, metric)) is not None), default=None)
        if value is not None and best is not None and float(f"{value:.1f}") > float(f"{best:.1f}"):
            ahead.append(f"{value:.1f} % of the {group} objects (the best detector {best:.1f} %)")
    if not ahead:
        return []
    return [
        "The object proposals, which no training made, find more than every detector here: "
        f"{' and '.join(ahead)}. One reason may be that regions of a single image know no classes, so that novel "
        "objects are no harder to find than known ones. Another may be that in simple scenes a whole object is one "
        "such region, which is rare in photos."
    ]


def evidence(num_seeds: int) -> str:
    """Say how much a number of seeds can show."""
    if num_seeds == 1:
        return "One seed is no evidence: a difference between two runs may be chance."
    if num_seeds > MAX_EXACT:
        return f"The exact sign-flip test is left out: it would take too long for more than {MAX_EXACT} seeds."
    text = f"With {num_seeds} seeds the exact sign-flip test cannot give less than p = {2 / 2**num_seeds:.2g}"
    return text + (", so it cannot reach 0.05 by itself." if 2 / 2**num_seeds > 0.05 else ".")


def format_interval(found: Interval | None, form: str = ".1f") -> str:
    """Write an interval; "" if there is none."""
    return "" if found is None else f"[{found[0]:{form}}, {found[1]:{form}}]"


def format_p(p: float | None) -> str:
    """Write a p value with two digits, tiny ones as a bound."""
    if p is None:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def _equals(p: float | None) -> str:
    text = format_p(p)
    return text if text.startswith("<") else f"= {text}"
