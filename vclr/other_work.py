"""How much of the machine other programs used while something was timed: a time beside other work says little."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

NOTEWORTHY = 0.1  # share of the processors from which on other work is mentioned


class OtherWork:
    """Measure the share of the machine's processors that everything but this program has used."""

    def __init__(self) -> None:
        self._before = _read_clocks()

    def share(self) -> float:
        """Return the share since the last call, from 0 to 1; the first call counts from the start.

        What a hypervisor gave to other machines ("steal") is other work too. It takes a few milliseconds.
        """
        before, self._before = self._before, _read_clocks()
        wall, busy, own = (now - then for now, then in zip(self._before, before, strict=True))
        return min(1.0, max(0.0, busy - own) / max(wall, 1e-9) / (os.cpu_count() or 1))


def describe_other_work(records: Iterable[Mapping[str, Any]]) -> str:
    """Say in one sentence whether times were taken beside other work; an empty string if they were not.

    Args:
        records: the lines of the metrics.jsonl of one training, or of several, one after the other. Those without
            `other_work` do not count.
    """
    weights, done = [], 0
    for record in records:
        if record.get("kind") != "train":
            continue
        if record["iteration"] <= done:  # another training begins
            done = 0
        if isinstance(record.get("other_work"), (int, float)):
            weights.append((record["iteration"] - done, float(record["other_work"])))
        done = record["iteration"]
    steps = sum(weight for weight, _ in weights)
    share = sum(weight * share for weight, share in weights) / steps if steps > 0 else 0.0
    if share < NOTEWORTHY:
        return ""
    return f"The time was taken beside other work, which used {share:.0%} of the machine's processors."


def _read_clocks() -> tuple[float, float, float]:
    """Return three clocks in seconds: of the wall, of all processors that work, and of this process and its children.

    Of several processes of one training on this machine, each stands for all: they do the same.
    """
    import psutil

    times = psutil.cpu_times()
    # The time of guests is in that of the user already, and iowait is idle time.
    not_busy = ("idle", "iowait", "guest", "guest_nice")
    busy = sum(seconds for name, seconds in times._asdict().items() if name not in not_busy)
    process = psutil.Process()
    own = sum(process.cpu_times()[:4])  # user, system, and the same of children that have ended
    for child in process.children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            own += sum(child.cpu_times()[:2])
    local = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return time.monotonic(), busy, own * (int(local) if local.isdigit() else 1)
