"""The views that MLflow's page opens: headline figures of novel objects first, saved once in tags of the experiment."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from benchmarks.simulated_store import fill_store
from vclr.tracking.saved_view import COMPARISON, MAX_FIGURES, ONLY_MEANS, TABLE, TAG, comparison_query, headline_figures
from vclr.tracking.stored_runs import open_client
from vclr.tracking.ui import RUNS_PAGE, start_page


@pytest.fixture
def uri(tmp_path: Path, empty_database: Path) -> str:
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


def saved(uri: str, experiment: str, key: str) -> tuple[dict, dict]:
    view = json.loads(open_client(uri).get_experiment(experiment).tags[TAG + key])
    return view, json.loads(view["state"])


def test_the_headline_of_novel_objects_is_first():
    masks = ["results/all/mask_ar_100", "results/lvis/known/mask_ar_100", "results/lvis/novel/mask_ar_100"]
    others = ["results/lvis/novel/mask_ar_100/low", "results/lvis/novel/mask_ar_10", "eval/novel/mask_ar_100", "loss"]
    assert headline_figures([*masks, *others, "results/novel/box_ar_100"]) == [masks[2], masks[1], masks[0]]
    assert headline_figures(["results/novel/box_ar_100", "loss"]) == ["results/novel/box_ar_100"]
    assert headline_figures(["loss", "results/novel/mask_ap"]) == []
    assert len(headline_figures(f"results/set{number}/novel/mask_ar_100" for number in range(20))) == MAX_FIGURES


def test_views_are_saved_once_and_follow_the_results(uri: str):
    experiment = fill_store(uri, experiments=2, seeds=2, keys=30)
    assert start_page(uri) == f"{RUNS_PAGE.format(experiment=experiment)}&viewStateShareKey={COMPARISON}"
    view, state = saved(uri, experiment, COMPARISON)
    headline = "metrics.`results/novel/mask_ar_100`"
    assert (state["orderByKey"], state["orderByAsc"], state["searchFilter"]) == (headline, False, "")
    assert state["selectedColumns"][:3] == ["tags.`experiment`", "tags.`seed`", headline]
    assert [chart["metricKey"] for chart in state["compareRunCharts"]][0] == "results/novel/mask_ar_100"
    assert saved(uri, experiment, TABLE)[1]["orderByKey"] == "attributes.start_time"
    start_page(uri)
    assert saved(uri, experiment, COMPARISON)[0] == view, "an unchanged view is not written again"
    client = open_client(uri)
    client.log_metric(client.search_runs([experiment])[0].info.run_id, "results/lvis/novel/mask_ar_100", 5.0)
    start_page(uri)
    assert len(saved(uri, experiment, COMPARISON)[1]["compareRunCharts"]) == 3


def test_many_runs_are_shown_as_means(uri: str):
    experiment = fill_store(uri, experiments=20, seeds=2, keys=30)
    start_page(uri)
    assert saved(uri, experiment, COMPARISON)[1]["searchFilter"] == ONLY_MEANS


def test_a_store_that_refuses_views_is_at_least_sorted(uri: str, monkeypatch: pytest.MonkeyPatch):
    experiment, client = fill_store(uri, experiments=1, seeds=1, keys=30), open_client(uri)

    def refuse(*_: str) -> None:
        raise MlflowException("permission denied")

    monkeypatch.setattr(client, "set_experiment_tag", refuse)
    query = comparison_query(client, experiment)
    assert query == "&orderByKey=metrics.%60results/novel/mask_ar_100%60&orderByAsc=false"
