"""How a job ended, and whether it is worth submitting again."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum

from vclr.launch.cluster import JobState
from vclr.launch.process import CRASHED, DONE, REFUSED, STOPPED, TOLD, Outcome


class Ending(Enum):
    """What follows from the end of a job."""

    DONE = "nothing is left to do"
    INTERRUPTED = "submit it again: the cluster ended it"
    FAILED = "submit it again, unless it fails there again"
    REFUSED = "give up"


@dataclass(frozen=True)
class Verdict:
    """How a job ended: what follows, the reason in one line, and the process whose log says more."""

    ending: Ending
    reason: str
    rank: int = 0


# States of a job whose end says nothing about the training.
INTERRUPTIONS = {
    "TIMEOUT": "its time was up",
    "PREEMPTED": "it was preempted",
    "NODE_FAIL": "a node failed",
    "BOOT_FAIL": "a node did not start",
    "REVOKED": "the cluster revoked it",
}
# States of a job that would end in the same way again.
REFUSALS = {
    "CANCELLED": "it was cancelled",
    "OUT_OF_MEMORY": "it needs more memory than it requested: raise launcher.mem_mb",
    "DEADLINE": "its deadline has passed",
}


def judge(state: JobState, outcomes: dict[int, Outcome], num_processes: int) -> Verdict:
    """Decide how a job ended, from the state that the cluster reports and the recorded outcomes by rank."""
    if state.name in INTERRUPTIONS:
        return Verdict(Ending.INTERRUPTED, INTERRUPTIONS[state.name])
    if state.name in REFUSALS:
        return Verdict(Ending.REFUSED, REFUSALS[state.name])
    if len(outcomes) == num_processes and all(outcome.kind == DONE for outcome in outcomes.values()):
        return Verdict(Ending.DONE, "")
    for kind, ending in ((REFUSED, Ending.REFUSED), (CRASHED, Ending.FAILED)):
        for rank, outcome in sorted(outcomes.items()):
            if outcome.kind == kind:
                return Verdict(ending, outcome.message, rank)
    first = outcomes.get(0)
    if first and first.kind == STOPPED:  # and has saved, whatever happened to the others
        # 75 asks for another try; any other code comes from Ctrl-C.
        ending = Ending.INTERRUPTED if first.exit_code == os.EX_TEMPFAIL else Ending.REFUSED
        return Verdict(ending, first.message)
    if state.used_up_time:
        return Verdict(Ending.INTERRUPTED, INTERRUPTIONS["TIMEOUT"])
    for outcome in outcomes.values():
        if outcome.kind == TOLD:  # the process that failed could not record its own outcome
            return Verdict(Ending.FAILED, outcome.message)
    silent = sorted(set(range(num_processes)) - set(outcomes))
    if not silent:
        return Verdict(Ending.FAILED, f"its processes lost each other ({state.name}, exit status {state.exit_status})")
    status = f"{state.name}, exit status {state.exit_status}" if state.exit_status else state.name
    if len(silent) > 1:
        return Verdict(Ending.FAILED, f"{len(silent)} of its {num_processes} processes were killed ({status})")
    return Verdict(Ending.FAILED, f"process {silent[0]} was killed ({status})", silent[0])
