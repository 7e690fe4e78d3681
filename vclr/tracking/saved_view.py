"""How MLflow's page shows a comparison: views with chosen columns and charts, saved in tags of the experiment.

MLflow's page makes a card for each of up to 100 figures. A view of the page limits them to the headline figures, and
sorts the runs by the first. `Views` at the top of the page lists the saved ones by name.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from vclr.catalog.classes import KNOWN, NOVEL
from vclr.catalog.metrics import BOX_HEADLINE, HEADLINE
from vclr.tracking.figures import RESULTS_KEY
from vclr.tracking.points import valid_key
from vclr.tracking.record import KIND

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TAG = "mlflow.sharedViewState."  # begins the name of the tag of a view
COMPARISON, TABLE = "vclr-comparison", "vclr-table"  # keys of the views
NAMES = {COMPARISON: "Comparison", TABLE: "Seeds of each experiment"}
MAX_FIGURES = 8  # columns and charts of a view
MAX_RUNS = 50  # beyond that, the view shows only the means over the seeds, which are read in a fraction of the time
ONLY_MEANS = f"tags.`{KIND}` = 'experiment'"
SECTION = "vclr-headlines"
COLUMNS = ("tags.`experiment`", "tags.`seed`")


def headline_figures(figures: Iterable[str]) -> list[str]:
    """List the figures that a comparison is about: the headline of each test set, of novel objects first.

    Args:
        figures: names of figures, such as `results/novel/mask_ar_100`.

    Returns:
        At most `MAX_FIGURES`; masks, or boxes if no masks were evaluated; empty without results.
    """
    results = sorted({name for name in figures if name.startswith(RESULTS_KEY)})
    for headline in (HEADLINE, BOX_HEADLINE):
        found = [name for name in results if name.endswith(f"/{valid_key(headline)}")]
        if found:
            return sorted(found, key=_importance)[:MAX_FIGURES]
    return []


def _importance(figure: str) -> int:
    group = figure.split("/")[-2]
    return (NOVEL, KNOWN).index(group) if group in (NOVEL, KNOWN) else 2


def comparison_query(client: MlflowClient, experiment_id: str) -> str:
    """Save or update the views of an experiment, and return what the address of its page needs to open the comparison.

    The address names the view only: beside a search or an order in the address, the page ignores it. If the views
    cannot be saved, because the store is read-only for this user, the address at least sorts the runs.

    Returns:
        The end of the address; empty if no run has results yet.
    """
    from mlflow.exceptions import MlflowException

    runs = client.search_runs([experiment_id], max_results=MAX_RUNS, order_by=["attributes.start_time DESC"])
    figures = headline_figures(name for run in runs for name in run.data.metrics)
    if not figures:
        return ""
    are_many = bool(runs.token) and _has_means(runs, figures[0])
    views = {COMPARISON: comparison(figures, ONLY_MEANS if are_many else ""), TABLE: table(figures)}
    try:
        _save(client, experiment_id, views)
    except MlflowException:
        return f"&orderByKey={quote(_column(figures[0]))}&orderByAsc=false"
    return f"&viewStateShareKey={COMPARISON}"


def _save(client: MlflowClient, experiment_id: str, views: Mapping[str, Any]) -> None:
    kept = client.get_experiment(experiment_id).tags
    for key, view in views.items():
        state = json.dumps(view)
        if json.loads(kept.get(TAG + key) or "{}").get("state") != state:
            named = {"name": NAMES[key], "createdAt": time.time_ns() // 1_000_000, "state": state}
            client.set_experiment_tag(experiment_id, TAG + key, json.dumps(named))


def _has_means(runs: Sequence[Run], figure: str) -> bool:
    return any(run.data.tags.get(KIND) == "experiment" and figure in run.data.metrics for run in runs)


def comparison(figures: Sequence[str], only: str = "") -> dict[str, Any]:
    """Return the state of the page that compares runs: bar charts of figures, the best run on the first one on top.

    Args:
        figures: names of the figures.
        only: a filter of MLflow's search for runs (default: all runs).
    """
    charts = [
        {"type": "BAR", "uuid": f"vclr-{figure}", "metricKey": figure, "metricSectionId": SECTION, "deleted": False}
        for figure in figures
    ]
    section = {"uuid": SECTION, "name": "Results", "display": True, "isReordered": True, "deleted": False, "columns": 2}
    return {
        **_columns(figures),
        "searchFilter": only,
        "orderByKey": _column(figures[0]),
        "orderByAsc": False,
        "compareRunCharts": charts,
        "compareRunSections": [section],
        "isAccordionReordered": True,
        # The page adds a chart for every other figure; only a search keeps them out.
        "chartsSearchFilter": f"^{RESULTS_KEY}.*/{figures[0].rpartition('/')[2]}$",
        "runsHiddenMode": "FIRST_20_RUNS",
    }


def table(figures: Sequence[str]) -> dict[str, Any]:
    """Return the state of the page that lists experiments with their seeds: MLflow nests runs sorted by their age."""
    return {**_columns(figures), "orderByKey": "attributes.start_time", "orderByAsc": False}


def _columns(figures: Sequence[str]) -> dict[str, Any]:
    columns = [*COLUMNS, *map(_column, figures)]
    widths = {_column(figure): 7 * len(figure) + 60 for figure in figures}  # pixels
    return {"selectedColumns": columns, "columnOrder": columns, "columnWidths": widths}


def _column(figure: str) -> str:
    return f"metrics.`{figure}`"
