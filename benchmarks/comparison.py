"""What comparing many runs costs: `vclr compare` on folders and on a SQLite file, and MLflow's page in Chromium.

Simulates 200 run folders, and 300 runs of 100 metric keys in a SQLite file. The page is timed from the address to the
first chart or row, warm: after a visit whose files the browser keeps, or from the list of experiments as by a link.
Wall time counts other programs, too; CPU time is that of the command, or of the page's main thread and of the server.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.simulated_store import fill_store
from tests.report.chromium import CHROMIUM, in_chromium
from tests.report.report_world import provenance_of, write_data, write_run
from vclr.files import read_json, write_json
from vclr.tracking.database import prepare_database
from vclr.tracking.saved_view import COMPARISON, TABLE
from vclr.tracking.ui import EXPERIMENTS_PAGE, RUNS_PAGE, serve_ui, start_page

FOLDERS, EXPERIMENTS, SEEDS, KEYS = 200, 60, 4, 100
EXPERIMENT = "td a[href*=experiments], [role=cell] a[href*=experiments]"
CHART, ROW = ".js-plotly-plot", ".ag-center-cols-container .ag-row"

Cost = tuple[float, float]  # seconds of wall time and of CPU time


def main(arguments: list[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="number of times that each is measured")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names, uri = simulate_folders(folder), prepare_database(f"sqlite:///{folder}/mlflow.db")
        experiment = fill_store(uri, EXPERIMENTS, SEEDS, KEYS)
        ids = [f"runs:/{one}" for one in first_trainings(uri, FOLDERS)]
        print_row("", ["wall", "CPU"])
        print_row("---", ["---:", "---:"])
        for title, words in ((f"compare, {FOLDERS} run folders", names), (f"compare, {len(ids)} runs of SQLite", ids)):
            print_costs(title, [run(folder, "compare", *words) for _ in range(options.runs)])
        if CHROMIUM:
            measure_pages(folder, uri, experiment, options.runs)


def simulate_folders(root: Path) -> list[str]:
    """Write runs and results that differ in a setting; return the names of the run folders."""
    coco = write_data(root)
    write_run(root, coco, "full", 0, (4, 4), intervals=True)
    config = (root / "runs/full/seed0/config.yaml").read_text(encoding="utf-8")
    metrics = read_json(root / "results/full/seed0/metrics.json")
    said = provenance_of(root / "val.json", root / "images")
    for number in range(FOLDERS):
        for kind in ("runs", "results"):
            shutil.copytree(root / kind / "full/seed0", root / kind / f"own{number}/seed0")
        own = config.replace("max_iter: 40", f"max_iter: {40 + number}")
        (root / f"runs/own{number}/seed0/config.yaml").write_text(own, encoding="utf-8")
        write_json(root / f"results/own{number}/seed0/metrics.json", metrics | {"provenance": said})
    return [f"runs/own{number}/seed0" for number in range(FOLDERS)]


def first_trainings(uri: str, count: int) -> list[str]:
    """Return the ids of some trainings of the store."""
    from vclr.tracking.stored_runs import find_stored_runs

    return [run.id for run in find_stored_runs(uri, [], ["vclr"]) if "seed" in run.tags][:count]


def run(folder: Path, *words: str) -> Cost:
    """Run `vclr` in a folder; return what it cost, including its start."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    started, command = time.perf_counter(), [sys.executable, "-m", "vclr.cli", *words]
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"vclr {words[0]}: {process.returncode}")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime


def measure_pages(folder: Path, uri: str, experiment: str, runs: int) -> None:
    """Print what the pages of an experiment cost."""
    opened = start_page(uri)
    plain = RUNS_PAGE.format(experiment=experiment)
    table = opened.replace(COMPARISON, TABLE).replace("CHART", "TABLE")
    pages = {
        "page, the list of experiments, without any run": ("", EXPERIMENTS_PAGE, EXPERIMENT),
        "page, the view that opens": ("", opened, CHART),
        "page, the view that opens, from the list": (EXPERIMENTS_PAGE, opened, CHART),
        "page, the table of experiments and seeds": ("", table, ROW),
        "page, the table, from the list": (EXPERIMENTS_PAGE, table, ROW),
        "page, all charts, without a view": ("", plain, CHART),
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with serve_ui(uri, port) as (address, server):
        for number, (title, (before, page, shown)) in enumerate(pages.items()):
            visit = Visits(address + before if before else "", address + page, shown, psutil.Process(server.pid), runs)
            print_costs(title, in_chromium(folder / f"profile{number}", visit))


class Visits:
    """Visit a page several times after a first visit that does not count."""

    def __init__(self, before: str, address: str, shown: str, server: psutil.Process, runs: int) -> None:
        self._before, self._address, self._shown, self._server, self._runs = before, address, shown, server, runs

    async def __call__(self, page: Any) -> list[Cost]:
        """Return what each visit cost."""
        costs = [await self._visit(page) for _ in range(self._runs + 1)]
        return costs[1:]

    async def _visit(self, page: Any) -> Cost:
        await page.visit("about:blank")
        await page.send("Performance.enable", timeDomain="threadTicks")
        if self._before:
            await page.visit(self._before)
            await page.until(f"document.querySelectorAll({EXPERIMENT!r}).length > 0")
            await asyncio.sleep(1)
        before, started = await self._cpu(page), time.perf_counter()
        if self._before:  # within MLflow's page, as by a link
            await page.run(f"location.href = {self._address!r}")
        else:
            await page.visit(self._address)
        await page.until(f"document.querySelectorAll({self._shown!r}).length > 0")
        cost = time.perf_counter() - started, await self._cpu(page) - before
        await asyncio.sleep(1)  # what the page still does is not part of the next visit
        return cost

    async def _cpu(self, page: Any) -> float:
        metrics = {one["name"]: one["value"] for one in (await page.send("Performance.getMetrics"))["metrics"]}
        processes = [self._server, *self._server.children(recursive=True)]
        return float(metrics["TaskDuration"] + sum(sum(one.cpu_times()[:2]) for one in processes))


def print_costs(title: str, costs: list[Cost]) -> None:
    """Print a row with the medians and the ranges."""
    cells = [
        f"{statistics.median(values):.1f} s ({min(values):.1f} to {max(values):.1f})"
        for values in zip(*costs, strict=True)
    ]
    print_row(title, cells)


def print_row(title: str, cells: list[str]) -> None:
    """Print a row of the table."""
    print(f"| {title} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
