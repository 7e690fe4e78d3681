"""How jobs end: what the cluster says and what the processes noted, taken together."""

from __future__ import annotations

import pytest

from vclr.launch.cluster import JobState
from vclr.launch.process import CRASHED, DONE, LOST, REFUSED, STOPPED, TOLD, Outcome
from vclr.launch.verdict import Ending, judge


def note(kind: str, message: str = "", exit_code: int = 1) -> Outcome:
    return Outcome(kind, message, exit_code, "node1")


SAVED = note(STOPPED, "SIGTERM: stopped and saved at iteration 5", 75)


@pytest.mark.parametrize(
    ("state", "notes", "ending", "reason"),
    [
        ("COMPLETED", [note(DONE), note(DONE)], Ending.DONE, ""),
        ("TIMEOUT", [SAVED, SAVED], Ending.INTERRUPTED, "its time was up"),
        ("PREEMPTED", [], Ending.INTERRUPTED, "preempted"),
        ("NODE_FAIL", [None, note(LOST)], Ending.INTERRUPTED, "a node failed"),
        ("FAILED", [SAVED, note(LOST)], Ending.INTERRUPTED, "saved at iteration 5"),
        ("FAILED", [SAVED, None], Ending.INTERRUPTED, "saved at iteration 5"),
        ("CANCELLED", [SAVED, SAVED], Ending.REFUSED, "cancelled"),
        ("OUT_OF_MEMORY", [None, None], Ending.REFUSED, "launcher.mem_mb"),
        ("FAILED", [note(LOST), note(REFUSED, "a.json: no such file")], Ending.REFUSED, "a.json: no such file"),
        ("FAILED", [note(CRASHED, "ValueError: x"), note(LOST)], Ending.FAILED, "ValueError: x"),
        ("FAILED", [note(CRASHED, "first"), note(REFUSED, "second")], Ending.REFUSED, "second"),
        ("FAILED", [note(LOST), None], Ending.FAILED, "process 1 was killed (FAILED, exit status 0:9)"),
        ("FAILED", [note(TOLD, "process 1 on node2: x"), None], Ending.FAILED, "process 1 on node2: x"),
        ("FAILED", [note(TOLD, "process 1 on node2: x"), note(CRASHED, "x")], Ending.FAILED, "x"),
        ("FAILED", [SAVED, note(TOLD, "process 0 on node1: x")], Ending.INTERRUPTED, "saved at iteration 5"),
        ("FAILED", [None, None], Ending.FAILED, "2 of its 2 processes were killed"),
        ("FAILED", [note(LOST), note(LOST)], Ending.FAILED, "lost each other"),
        ("FAILED", [note(STOPPED, "SIGINT: stopped", 130)] * 2, Ending.REFUSED, "SIGINT"),
        ("GONE", [note(DONE), note(DONE)], Ending.DONE, ""),  # SLURM has forgotten it
        ("COMPLETED", [note(DONE), None], Ending.FAILED, "process 1"),
    ],
)
def test_ending_follows_from_state_and_notes(state: str, notes: list[Outcome | None], ending: Ending, reason: str):
    outcomes = {rank: outcome for rank, outcome in enumerate(notes) if outcome is not None}
    verdict = judge(JobState(state, exit_status="0:9"), outcomes, 2)
    assert verdict.ending is ending
    assert reason in verdict.reason


def test_log_is_of_the_process_that_failed_first():
    assert judge(JobState("FAILED"), {0: note(LOST), 1: note(CRASHED, "x")}, 2).rank == 1


def test_job_that_was_killed_when_its_time_was_up_is_interrupted_whatever_slurm_calls_it():
    killed = JobState("FAILED", exit_status="137:0", used_up_time=True)
    assert judge(killed, {}, 4).ending is Ending.INTERRUPTED
    assert judge(killed, {0: note(CRASHED, "ValueError: x")}, 4).reason == "ValueError: x"
