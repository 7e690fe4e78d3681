"""The ledger: each published value, ours, the difference, and whether it is within tolerance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vclr.catalog.classes import ALL
from vclr.catalog.data_sets import DATA_SETS, PROTOCOLS
from vclr.catalog.published import METHOD, PUBLISHED_RESULTS, TOLERANCE, Published
from vclr.data.data_sets import known_training_set
from vclr.report.experiments import Experiment

NOT_RUN, NOT_MEASURED = "not run", "not measured"
HEAD = ("trained on", "protocol", "metric", "method", "published", "experiment", "ours", "difference", "verdict")


@dataclass(frozen=True)
class Entry:
    """A published value beside ours.

    Attributes:
        published: the results that it is one of.
        metric: name of the metric.
        experiment: the experiment that is compared with it; "" if none was run.
        ours: its mean over the seeds; None if it was not run, or not measured.
        truth: the sha256 of the annotations that it was measured on; "" if there are none.
    """

    published: Published
    metric: str
    experiment: str = ""
    ours: float | None = None
    truth: str = ""

    @property
    def difference(self) -> float | None:
        """Ours minus the published value."""
        return None if self.ours is None else self.ours - self.published.values[self.metric]

    @property
    def verdict(self) -> str:
        """Whether the difference is within tolerance; for another method, there is nothing to reproduce."""
        if self.difference is None:
            return NOT_MEASURED if self.experiment else NOT_RUN
        if self.published.method != METHOD:
            return "another method"
        return "within tolerance" if abs(self.difference) <= TOLERANCE + 1e-9 else "outside tolerance"

    @property
    def cells(self) -> tuple[str, ...]:
        """The texts of its row below `HEAD`."""
        return (
            self.published.known.upper(),
            PROTOCOLS[self.published.protocol].title,
            self.metric,
            self.published.method,
            f"{self.published.values[self.metric]:.1f}",
            self.experiment,
            "" if self.ours is None else f"{self.ours:.1f}",
            "" if self.difference is None else f"{self.difference:+.1f}",
            self.verdict,
        )


def make_ledger(experiments: Sequence[Experiment]) -> list[Entry]:
    """Return an entry for each published value and each experiment on the same classes and protocol.

    A value that no experiment is comparable with has one entry, which says that it was not run.
    """
    return [
        entry
        for published in PUBLISHED_RESULTS
        for metric in published.values
        for entry in _compare(published, metric, experiments)
    ]


def _compare(published: Published, metric: str, experiments: Iterable[Experiment]) -> list[Entry]:
    entries = [
        Entry(published, metric, one.name, one.mean(ALL, metric), one.test_set.sha256)
        for one in experiments
        if one.test_set.published_protocol(one.config.data.root) == published.protocol
        and _known(one) == published.known
    ]
    return entries or [Entry(published, metric)]


def _known(experiment: Experiment) -> str:
    """Return the list of classes that an experiment was trained on; "" for photos of the user's own."""
    trained = DATA_SETS.get(known_training_set(experiment.config))
    return trained.known if trained else ""


def sources(entries: Iterable[Entry]) -> list[str]:
    """Say where the published values are from and what ours were measured on."""
    said = [
        f"{one.published.method}: {one.published.source}; confidence: {one.published.confidence}" for one in entries
    ]
    truths = [f"{one.experiment} on {one.cells[1]}: annotations sha256 {one.truth}" for one in entries if one.truth]
    return list(dict.fromkeys([*said, *truths]))


def explanation() -> str:
    """Say what the columns mean."""
    return (
        f"Recall in percent. Ours is the mean over the seeds. A difference of up to {TOLERANCE:g} point from {METHOD} "
        "is within tolerance. We chose this tolerance, because the published values have no spread."
    )


def shown_ledger(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return what the template shows."""
    return {"head": HEAD, "entries": entries, "sources": sources(entries), "explanation": explanation()}


def markdown(entries: Sequence[Entry]) -> str:
    """Return the ledger as a page."""
    rows = [HEAD, ("---",) * len(HEAD), *(entry.cells for entry in entries)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    said = "\n".join(f"- {line}" for line in sources(entries))
    return f"# Ledger of published values\n\n{explanation()}\n\n{table}\n\n{said}\n"
