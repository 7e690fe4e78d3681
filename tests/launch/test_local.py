"""Trainings as jobs on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.engine.same import assert_same_training
from tests.launch.conftest import ROOT, Launch, wait_for

MakeLaunch = Callable[..., Launch]
TWO = "launcher.tasks_per_node=2"
SHORT = ("train.max_iter=12", "train.num_threads=1")


def processes_of(launch: Launch) -> list[psutil.Process]:
    """List the living processes of its jobs."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        is_ours = any(str(launch.folder / "jobs") in word for word in process.info["cmdline"] or ())
        if is_ours and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


@pytest.mark.slow
def test_training_in_two_processes_is_that_of_train(make_launch: MakeLaunch):
    launch = make_launch(TWO, *SHORT)
    output = launch.run()
    assert "iteration 12/12" in output
    assert len(launch.jobs) == 1
    straight = launch.root / "runs" / "demo" / "straight"
    command = [sys.executable, "-m", "vclr.cli", "train", "--config-file", str(launch.settings), "--num-gpus", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([*command, f"train.output_dir={straight}"], env=environment, check=True, capture_output=True)
    assert_same_training(straight, launch.folder)
    assert launch.run() == "runs/demo/seed0: finished already\n"
    assert len(launch.jobs) == 1


@pytest.mark.slow
def test_a_finished_training_is_not_submitted_again_after_snakemake_has_deleted_done(make_launch: MakeLaunch):
    short = ("train.max_iter=2", "train.num_threads=1")
    launch = make_launch(*short)
    done, last = launch.folder / "DONE", launch.folder / "checkpoints" / "last.pt"
    launch.run()
    for test_only in ([], ["evaluation.max_dets=[1]", "dataloader.test.batch_size=2", "data.test.proposals=''"]):
        done.unlink()
        assert launch.run(*test_only) == "runs/demo/seed0: finished already\n"
        assert done.read_text() == "2\n"
    assert len(launch.jobs) == 1
    for change in ("another length", "a newer checkpoint", "a job that did not finish"):
        done.unlink()
        if change == "a newer checkpoint":
            os.utime(last)
        elif change == "a job that did not finish":
            (launch.jobs[-1] / "outcome0.json").unlink()
        before = len(launch.jobs)
        launch.run("train.max_iter=3")
        assert (len(launch.jobs), done.read_text()) == (before + 1, "3\n"), change


@pytest.mark.slow
def test_the_same_goes_for_a_batch_size_that_the_job_found(make_launch: MakeLaunch):
    launch = make_launch("train.max_iter=2", "train.num_threads=1", "dataloader.train.total_batch_size=auto")
    launch.run()
    assert "total_batch_size: auto" not in (launch.folder / "config.yaml").read_text()
    (launch.folder / "DONE").unlink()
    assert launch.run() == "runs/demo/seed0: finished already\n"
    assert (launch.folder / "DONE").read_text() == "2\n"


@pytest.mark.slow
def test_killed_client_leaves_the_training_and_the_next_one_follows_it(make_launch: MakeLaunch):
    launch = make_launch(TWO, "train.max_iter=40")
    with launch.start() as process:
        launch.wait_for_records(2, process)
        process.kill()
    assert processes_of(launch)
    output = launch.run()
    assert "is under way (running); following it" in output
    assert "iteration 40/40" in output
    assert len(launch.jobs) == 1
    wait_for(lambda: not processes_of(launch), seconds=5)


@pytest.mark.slow
def test_a_longer_training_follows_the_shorter_one_and_keeps_it(make_launch: MakeLaunch):
    launch = make_launch("train.max_iter=40", "train.num_threads=1")
    share = "optimizer.milestones=[0.9]"
    with launch.start(share) as process:
        launch.wait_for_records(2, process)
        process.kill()
    output = launch.run(share, "train.max_iter=50", code=1)
    assert "is under way (running); following it" in output
    assert "is [36] there and [45] here (another learning rate" in output
    assert "set optimizer.milestones=[36] to go on" in output
    assert [path.name for path in launch.folder.parent.iterdir()] == ["seed0"]
    assert "iteration 50/50" in launch.run("optimizer.milestones=[36]", "train.max_iter=50")


@pytest.mark.slow
def test_interrupted_client_ends_its_job_which_saves(make_launch: MakeLaunch):
    launch = make_launch(TWO, "train.max_iter=2000")
    with launch.start() as process:
        launch.wait_for_records(2, process)
        output = launch.interrupt(process, times=3)
    assert "is cancelled, the same command continues from its checkpoint" in output
    assert not processes_of(launch)
    saved = json.loads((launch.jobs[0] / "outcome0.json").read_text())
    assert saved["message"].startswith("SIGTERM: stopped and saved at iteration")


def test_mistake_that_only_the_job_finds_is_one_line_with_the_log(make_launch: MakeLaunch, tmp_path: Path):
    (tmp_path / "broken.pth").write_text("no weights")
    launch = make_launch(*SHORT, f"train.init_checkpoint={tmp_path}/broken.pth")
    line = launch.run(code=1).strip().splitlines()[-1]
    assert line.startswith("vclr: demo/seed0: job ")
    assert "broken.pth: is not a checkpoint" in line
    log = line.rpartition("log: ")[2]
    assert "broken.pth: is not a checkpoint" in (launch.root / log).read_text()
    assert len(launch.jobs) == 1


def test_mistake_that_is_known_before_is_not_submitted(make_launch: MakeLaunch, tmp_path: Path):
    (tmp_path / "broken.json").write_text("{")
    launch = make_launch(*SHORT, f"data.train.annotations={tmp_path}/broken.json")
    assert "broken.json: line 1 column 2: not valid json" in launch.run(code=1)
    weights = "train.init_checkpoint=absent.pth"
    assert f"{weights}: no such checkpoint" in launch.run(weights, code=1)
    assert "broken.json: line 1" in launch.run(weights, "train.init_checkpoint=", code=1)
    assert "nearest: 'disk'" in launch.run("evaluation.groups.novel=[dsk]", code=1)
    assert not launch.jobs


@pytest.mark.slow
def test_jobs_stay_where_they_are_when_a_training_of_other_settings_is_moved_aside(make_launch: MakeLaunch):
    launch = make_launch(*SHORT)
    launch.run()
    launch.run("optimizer.lr=0.001", "train.seed=5")
    aside = [path for path in launch.folder.parent.iterdir() if path.name.startswith("seed0.")]
    assert len(aside) == 1
    assert (aside[0] / "DONE").exists()
    assert [job.name for job in launch.jobs] == ["1", "2"]
    assert (launch.folder / "DONE").exists()


def test_debug_backend_trains_in_the_process_itself(make_launch: MakeLaunch):
    launch = make_launch(*SHORT)
    launch.run("launcher.backend=debug")
    assert (launch.folder / "DONE").read_text() == "12\n"


def test_what_this_machine_cannot_is_refused(make_launch: MakeLaunch):
    launch = make_launch(*SHORT)
    assert "is one machine; use launcher.tasks_per_node" in launch.run("launcher.nodes=2", code=2)
    assert "runs one process" in launch.run("launcher.backend=debug", TWO, code=2)
    assert "must be a multiple of the 3" in launch.run("launcher.tasks_per_node=3", code=2)
    assert "nearest" in launch.run("launcher.backnd=slurm", code=2)
    assert "must be one of slurm, local, debug" in launch.run("launcher.backend=pbs", code=2)
    assert launch.jobs == []
