"""The workflow on a real SLURM cluster, with the profile as it is: from a clean tree to the report, disturbed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from tests.launch.conftest import cluster, count_records, wait_for
from tests.workflow.conftest import Checkout
from vclr.launch.cluster import ask

assert cluster  # a fixture
OVERRIDES = "overrides=[train.max_iter=60,train.checkpointer.period=20,train.log_period=5]"
COMMAND = ("--profile", "slurm", "all", "--config", "experiments=[demo]", OVERRIDES)
NOTICED_SECONDS = 15.0


@contextmanager
def snakemake(checkout: Checkout) -> Iterator[subprocess.Popen[bytes]]:
    """Start the workflow in a process group of its own, as a terminal does."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with (checkout.folder / "output.txt").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *COMMAND],
            cwd=checkout.folder,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(checkout.folder)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(60)


def said(checkout: Checkout) -> str:
    return (checkout.folder / "output.txt").read_text()


def num_records(checkout: Checkout) -> int:
    return count_records(checkout.folder / "runs/demo/seed0")


def trainings(checkout: Checkout) -> list[list[str]]:
    """List state, nodes and processors of the training's jobs that SLURM has on record."""
    form = "State,NodeList,NCPUS,Comment"
    lines = ask("sacct", "-X", "-n", "-P", "-S", "now-1hour", "-o", form).splitlines()
    return [line.split("|") for line in lines if f"{checkout.folder}/runs" in line]


def seconds_until_noticed(checkout: Checkout) -> list[float]:
    """For each job of the executor, return how long after its end Snakemake said that it was finished."""
    text = said(checkout)
    numbers = dict(re.findall(r"Job (\d+) has been submitted with SLURM jobid (\d+)", text))
    finished = {}
    for line in text.splitlines():
        if stamp := re.fullmatch(r"\[(\w{3} \w{3} .*)\]", line):
            at = datetime.strptime(stamp[1], "%a %b %d %H:%M:%S %Y")
        elif job := re.match(r"Finished jobid: (\d+)", line):
            finished[job[1]] = at
    ends = {job: ask("sacct", "-X", "-n", "-P", "-j", number, "-o", "End").strip() for job, number in numbers.items()}
    return [(finished[job] - datetime.fromisoformat(end)).total_seconds() for job, end in ends.items()]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("cluster")
def test_from_a_clean_tree_to_the_report_though_snakemake_is_interrupted_and_killed(checkout: Checkout):
    folder = checkout.folder
    with snakemake(checkout) as process:
        wait_for(lambda: num_records(checkout) >= 2, process, seconds=300)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)
    assert ask("squeue", "--noheader", "--me") == "", "Ctrl-C cancels what was started"
    assert re.search(r"^vclr: demo/seed0: interrupted; job \d+ is cancelled", said(checkout), flags=re.MULTILINE)

    seen = num_records(checkout)
    with snakemake(checkout) as process:
        wait_for(lambda: num_records(checkout) > seen + 2, process, seconds=120)
        process.kill()
        process.wait()
    assert f"RUNNING {folder}/runs" in ask("squeue", "--noheader", "--format=%T %k"), "it goes on"

    with snakemake(checkout) as process:
        assert process.wait(300) == 0, said(checkout)
    assert "is under way (running); following it" in said(checkout)
    states = trainings(checkout)
    assert [state for state, *_ in states] == ["CANCELLED by 0", "COMPLETED"], "one training, not submitted again"
    assert states[-1][1:3] == ["node[1-2]", "8"]
    assert (folder / "runs/demo/seed0/DONE").read_text() == "60\n"
    assert (folder / "results/all/report.html").stat().st_size > 10_000
    delays = seconds_until_noticed(checkout)
    print(f"noticed after {delays} s")
    assert delays
    assert max(delays) <= NOTICED_SECONDS
    time.sleep(1.0)
    assert "Nothing to be done" in checkout.run("snakemake", *COMMAND)
