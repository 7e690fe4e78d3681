"""What a reader of MLflow's page sees of the demo, in a real browser."""

from __future__ import annotations

from pathlib import Path

from mlflow import MlflowClient

from tests.report.chromium import Page, in_chromium
from tests.servers.ports import free_port
from vclr.tracking.saved_view import COMPARISON, TABLE
from vclr.tracking.ui import serve_ui, start_page

HEADLINE = "results/novel/mask_ar_100"
TEXT = "document.body.innerText"
LARGE_IMAGES = "[...document.images].filter(image => image.naturalWidth > 500).length"
CHARTS = "document.querySelectorAll('.js-plotly-plot').length"


def look_at_runs(database: Path, experiment: str, folder: Path) -> None:
    """Look at the comparison, the table, the compare page, the data sets and a picture of an experiment's runs.

    Screenshots remain in the folder.
    """
    uri = f"sqlite:///{database}"
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found
    runs = client.search_runs([found.experiment_id], "tags.`vclr.kind` = 'training'")
    names, ids = [run.info.run_name for run in runs], [run.info.run_id for run in runs]
    of_run = f"/#/experiments/{found.experiment_id}/runs/{ids[0]}"
    listed = ",".join(f'"{one}"' for one in ids)
    compared = f'/#/compare-runs?runs=[{listed}]&experiments=["{found.experiment_id}"]'

    async def look(page: Page) -> None:
        async def see(name: str, path: str, *conditions: str) -> str:
            await page.visit("about:blank")
            await page.visit(address + path)
            for condition in conditions:
                await page.until(condition)
            await page.screenshot(folder / f"{name}.png")
            return str(await page.run(TEXT))

        start = start_page(uri)
        assert HEADLINE in await see("comparison", start, f"{CHARTS} >= 2")
        table = start.replace(COMPARISON, TABLE).replace("&compareRunsMode=CHART", "")
        assert HEADLINE in await see("table", table, f"{TEXT}.includes('Metrics')", f"{TEXT}.includes('{HEADLINE}')")
        text = await see("compare", compared, f"{TEXT}.includes('Run details')", f"{TEXT}.includes('{HEADLINE}')")
        assert all(name in text for name in names)
        text = await see("run", of_run, f"{TEXT}.includes('Datasets')", f"{TEXT}.includes('{HEADLINE}')")
        assert "annotations toy_train_toy_known.json" in text
        await see("picture", f"{of_run}/artifacts/pictures/00000001/views.png", f"{LARGE_IMAGES} > 0")

    with serve_ui(uri, free_port()) as (address, _):
        folder.mkdir()
        in_chromium(folder / "profile", look)
