"""What `make demo` prints of a workflow: a few lines of a real Snakemake, and after a failure its cause."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import running
from workflow import follow as follow_module

ROOT = Path(__file__).parents[2]

SNAKEFILE = """
rule page:
    input:
        expand("runs/{experiment}/seed{seed}/DONE", experiment=["demo"], seed=[0, 1]),
    output:
        "page",
    log:
        "logs/report/page.log",
    shell:
        "PAGE 2>&1 | tee {log}"


rule train:
    output:
        "runs/{experiment}/seed{seed}/DONE",
    log:
        "logs/train/{experiment}_seed{seed}.log",
    shell:
        "echo Step of a training && touch {output}"
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "workflow.follow", *arguments]


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def follow(folder: Path, page: str, target: str = "page") -> subprocess.CompletedProcess[str]:
    """Follow the workflow of SNAKEFILE, whose last rule runs the command `page`."""
    (folder / "Snakefile").write_text(SNAKEFILE.replace("PAGE", page))
    return subprocess.run(
        command(target, "--cores", "1"), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )


def test_a_line_for_each_job_and_nothing_to_do_the_second_time(tmp_path: Path):
    done = follow(tmp_path, "touch page")
    first, *trainings, page = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert first == "page: Snakemake's log is logs/page.log"
    assert sorted(line.split(": ")[1] for line in trainings) == ["train demo seed 0", "train demo seed 1"]
    assert page == "  3 of 3: page"
    assert "Step of a training" in (tmp_path / "logs/page.log").read_text()
    again = follow(tmp_path, "touch page")
    assert again.returncode == 0
    assert again.stdout.splitlines()[1].startswith("Nothing to be done")


def test_a_training_is_heard_of_now_and_then(monkeypatch: pytest.MonkeyPatch):
    lines = [f"iteration {number}/900 loss 3.210 (0.31 s per step, 4 min left)" for number in (20, 40)]
    assert list(follow_module.describe_progress(lines)) == []  # a minute is not over
    monkeypatch.setattr(follow_module, "SECONDS_BETWEEN_LINES", 0.0)
    assert list(follow_module.describe_progress(lines[:1])) == ["           training: iteration 20 of 900, 4 min left"]


def test_a_failure_is_told_by_the_job_its_log_and_its_one_line_once(tmp_path: Path):
    done = follow(tmp_path, "(echo reading; echo vclr: photo.png: no such file; exit 1)")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "page: failed; its log is logs/report/page.log"
    assert done.stderr.splitlines() == [
        "vclr: photo.png: no such file",
        "page: failed; the whole log is logs/page.log",
    ]


def test_a_failure_without_such_a_line_shows_the_end_of_the_log(tmp_path: Path):
    done = follow(tmp_path, "(echo Killed; exit 137)")
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert "Killed" in (tmp_path / "logs/page.log").read_text()
    assert 3 < len(lines) <= 26
    assert lines[-1] == "page: failed; the whole log is logs/page.log"


def test_a_wrong_target_of_the_workflow_is_its_one_line(checkout):
    done = subprocess.run(
        command("demoo", "--cores", "1"), cwd=checkout.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert done.stderr.splitlines() == [
        "vclr: demoo: no rule makes this target; nearest: demo",
        "demoo: failed; the whole log is logs/demoo.log",
    ]


def test_ctrl_c_is_no_failure_with_a_cause(tmp_path: Path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE.replace("PAGE", "touch started && sleep 60"))
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with running(command("page", "--cores", "1"), cwd=tmp_path, env=ENVIRONMENT, **streams) as process:
        end = time.monotonic() + 60
        while not (tmp_path / "started").exists():
            assert time.monotonic() < end, "it did not start"
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode not in (0, None)
    assert errors.splitlines() == ["page: interrupted; run the same command again to continue"]
