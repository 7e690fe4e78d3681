"""MLflow's page of 300 runs in a real browser: it opens on the comparison, and lists experiments with their seeds."""

import shutil

import pytest

from benchmarks.simulated_store import fill_store
from tests.mlflow_page import CHARTS, TEXT
from tests.report.chromium import CHROMIUM, in_chromium
from tests.servers.ports import free_port
from vclr.tracking.saved_view import COMPARISON, TABLE
from vclr.tracking.ui import serve_ui, start_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]

ROWS = "document.querySelectorAll('.ag-center-cols-container .ag-row').length"
HEADS = """[...document.querySelectorAll('.ag-header-cell')]
    .sort((one, other) => one.getBoundingClientRect().left - other.getBoundingClientRect().left)
    .map(cell => cell.innerText)"""


@pytest.fixture(scope="module")
def served(tmp_path_factory, empty_database):
    database = tmp_path_factory.mktemp("page") / "mlflow.db"
    shutil.copy(empty_database, database)
    uri = f"sqlite:///{database}"
    fill_store(uri, experiments=60, seeds=4, keys=100)
    with serve_ui(uri, free_port()) as (address, _):
        yield address, start_page(uri)


def test_the_page_opens_on_the_comparison_of_the_headline(served, tmp_path):
    address, start = served
    assert start_page(address) == start, "a server is asked through its own address"

    async def look(page):
        await page.visit(address + start)
        await page.until(f"{CHARTS} >= 2")
        text = await page.run(TEXT)
        await page.screenshot(tmp_path / "comparison.png")
        return text, await page.run(CHARTS)

    text, charts = in_chromium(tmp_path / "profile", look)
    assert charts == 2, "the headline of novel and of known objects, and no other figure"
    assert "Sort: results/novel/mask_ar_100" in text
    assert "Comparison" in text, "the view has a name"
    assert "60 matching runs" in text, "the means of the experiments"
    assert "share key" not in text


def test_the_other_view_lists_experiments_with_their_seeds(served, tmp_path):
    address, start = served

    async def look(page):
        await page.visit(address + start.replace(COMPARISON, TABLE).replace("&compareRunsMode=CHART", ""))
        await page.until(f"{ROWS} >= 5")
        heads = await page.run(HEADS)
        before = await page.run(TEXT)
        await page.run("document.querySelector('.ag-row [col-id*=\"Run Name\"] button').click()")
        await page.until(f"{TEXT}.includes('/seed3')")
        await page.screenshot(tmp_path / "table.png")
        return heads, before

    heads, before = in_chromium(tmp_path / "profile", look)
    assert "/seed" not in before, "the seeds are folded in"
    shown = [head for head in heads if head in ("experiment", "seed") or head.startswith("results/")]
    assert shown == ["experiment", "seed", "results/novel/mask_ar_100", "results/known/mask_ar_100"]
