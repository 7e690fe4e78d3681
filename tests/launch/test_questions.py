"""What SLURM's commands print, read."""

from __future__ import annotations

import pytest

from vclr.launch.cluster import ClusterError, JobState, complaint, count_gpus, find_job, read_state

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
    assert complaint("") == "failed without a word"


def test_machine_without_slurm(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert count_gpus() == 0
    with pytest.raises(ClusterError, match="squeue: not found; is this a machine of a SLURM cluster"):
        find_job("x")
