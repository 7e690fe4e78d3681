"""What SLURM's commands print, read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vclr.config import LauncherConfig
from vclr.finding import ERROR, OK
from vclr.launch import cluster, doctor
from vclr.launch.backends import sbatch_options
from vclr.launch.cluster import ClusterError, JobState, complaint, count_gpus, find_job, read_state
from vclr.launch.profile import Profile

SHOWN = (
    "JobId=7 JobName=demo/seed0 UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=1 Account=lab QOS=normal "
    "JobState={state} Reason={reason} Dependency=(null) Requeue=1 Restarts=2 BatchFlag=1 Reboot=0 ExitCode=1:0 "
    "RunTime=1-00:02:03 TimeLimit={limit} NodeList=node[1-2] Comment=/work/runs/demo/seed0/jobs/1\n"
)


def test_state_is_read_with_what_explains_it():
    state = read_state(SHOWN.format(state="RUNNING", reason="None", limit="UNLIMITED"))
    assert state == JobState("RUNNING", "None", "1:0", 2, "node[1-2]")
    assert not state.has_ended


@pytest.mark.parametrize(
    ("limit", "is_over"), [("1-00:02:00", True), ("1-00:02:04", False), ("Partition_Limit", False)]
)
def test_job_that_ran_as_long_as_it_may(limit: str, is_over: bool):
    assert read_state(SHOWN.format(state="FAILED", reason="None", limit=limit)).used_up_time == is_over


@pytest.mark.parametrize("name", ["PENDING", "COMPLETING", "REQUEUED", "SUSPENDED", "UNKNOWN"])
def test_job_that_may_still_run_has_not_ended(name: str):
    assert not JobState(name).has_ended


@pytest.mark.parametrize("name", ["COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL", "PREEMPTED", "GONE"])
def test_job_that_is_over_has_ended(name: str):
    assert JobState(name).has_ended


def test_complaints_are_one_line():
    text = "sbatch: error: invalid partition specified: x\nsbatch: error: Batch job submission failed: Invalid\n"
    assert complaint(text) == "invalid partition specified: x; Batch job submission failed: Invalid"
    assert complaint("") == "failed without an error message"


def test_machine_without_slurm(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert count_gpus() == 0
    with pytest.raises(ClusterError, match="squeue: not found; is this a machine of a SLURM cluster"):
        find_job("x")


NODES = """\
main*|(null)
gpu|gpu:a100:4(S:0-1),gpu:h100:2
gpu|gpu:8
"""


@pytest.mark.parametrize(
    ("partition", "gpu_type", "count"),
    [("", "", 0), ("gpu", "", 8), ("gpu", "a100", 4), ("gpu", "h100", 2), ("gpu", "v100", 0)],
)
def test_gpus_of_a_type_are_counted(partition: str, gpu_type: str, count: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster.shutil, "which", lambda _: "/bin/sinfo")
    lines = [line for line in NODES.splitlines() if not partition or line.startswith(partition)]
    monkeypatch.setattr(cluster, "ask", lambda *_: "\n".join(lines))
    assert count_gpus(partition, gpu_type) == count


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({}, ("4", None)),
        ({"gpu_type": "a100"}, ("a100:4", None)),
        ({"gpu_type": "a100", "gpus_per_node": 1}, ("a100:1", None)),
        ({"gpu_type": "v100"}, (None, None)),
        ({"gpu_type": "a100", "gpus_per_node": 0}, (None, None)),
        ({"gpu_type": "a100", "gres": "gpu:h100:2"}, (None, "gpu:h100:2")),
    ],
)
def test_a_job_asks_for_a_type_of_gpu(settings: dict[str, Any], asked: tuple[Any, Any], monkeypatch: Any):
    monkeypatch.setattr(cluster, "count_gpus", lambda partition, gpu_type: {"": 8, "a100": 4}.get(gpu_type, 0))
    options = sbatch_options("x", Path(), LauncherConfig(tasks_per_node=4, **settings))
    assert (options["gpus_per_node"], options["gres"]) == asked


def test_the_doctor_knows_types_of_gpus(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doctor, "ask", lambda *_: "main*|gpu:a100:4\n")
    monkeypatch.setattr(cluster, "count_gpus", lambda partition, gpu_type: 4)
    for gpu_type, level in (("a100", OK), ("h100", ERROR)):
        training = LauncherConfig(tasks_per_node=2, gpu_type=gpu_type)
        finding = doctor._check_gpus(Profile(Path("slurm"), training, {}, "squeue"), {})
        assert finding.level == level, finding
    assert "h100" in finding.says and "gpu:a100:4" in finding.fix
