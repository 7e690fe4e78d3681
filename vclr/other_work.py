"""CPU use of other programs while something is timed: a time measured on a busy machine says little."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

NOTEWORTHY = 0.1  # share of the CPUs from which other work is mentioned


class OtherWork:
    """Measure the share of the machine's CPU time that other programs use."""

    def __init__(self) -> None:
        self._before = _read_clocks()

    def share(self) -> float:
        """Return the share since the last call, from 0 to 1; the first call counts from the creation of this object.

        CPU time that a hypervisor gave to other machines ("steal") counts too. A call takes a few milliseconds.
        """
        before, self._before = self._before, _read_clocks()
        wall, busy, own = (now - then for now, then in zip(self._before, before, strict=True))
        return min(1.0, max(0.0, busy - own) / max(wall, 1e-9) / (os.cpu_count() or 1))


def describe_other_work(records: Iterable[Mapping[str, Any]]) -> str:
    """Return a sentence that says how busy the machine was during timed trainings; empty if it was not busy.

    Args:
        records: the lines of metrics.jsonl of one or more trainings, one after the other. Lines without `other_work` do
            not count.
    """
    weights, done = [], 0
    for record in records:
        if record.get("kind") != "train":
            continue
        if record["iteration"] <= done:  # the next training begins
            done = 0
        if isinstance(record.get("other_work"), (int, float)):
            weights.append((record["iteration"] - done, float(record["other_work"])))
        done = record["iteration"]
    steps = sum(weight for weight, _ in weights)
    share = sum(weight * share for weight, share in weights) / steps if steps > 0 else 0.0
    if share < NOTEWORTHY:
        return ""
    return f"While this was timed, other programs used {share:.0%} of the machine's CPU time."


def _read_clocks() -> tuple[float, float, float]:
    """Return three clocks in seconds: wall time, busy time of all CPUs, and CPU time of this process and its children.

    If several processes of one training run on this machine, each counts its own time for all: they do the same work.
    """
    import psutil

    times = psutil.cpu_times()
    # User time already includes guest time, and iowait is idle time.
    not_busy = ("idle", "iowait", "guest", "guest_nice")
    busy = sum(seconds for name, seconds in times._asdict().items() if name not in not_busy)
    process = psutil.Process()
    own = sum(process.cpu_times()[:4])  # user and system time, of itself and of children that have ended
    for child in process.children(recursive=True):
        with suppress(psutil.Error):  # the child has just ended
            own += sum(child.cpu_times()[:2])
    local = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return time.monotonic(), busy, own * (int(local) if local.isdigit() else 1)
