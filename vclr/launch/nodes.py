"""Run a job that probes the nodes of a cluster, and judge what it finds."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from vclr.config import LauncherConfig
from vclr.file_lock import try_lock
from vclr.finding import ERROR, OK, WARNING, Finding
from vclr.launch import cluster
from vclr.launch.backends import sbatch_options
from vclr.launch.probe import HOSTS, Probe


def check_nodes(training: LauncherConfig, wait_seconds: float) -> Iterator[Finding]:
    """Run a job that probes as many nodes as a training has."""
    import submitit

    folder = Path(tempfile.mkdtemp(prefix=".vclr-doctor-", dir=Path.cwd()))
    word = uuid.uuid4().hex
    (folder / "word").write_text(word, encoding="utf-8")
    try:
        with (folder / "lock").open("ab") as lock:
            holds = bool(try_lock(lock))
            executor = submitit.SlurmExecutor(folder)
            small = replace(training, tasks_per_node=1, cpus_per_task=0, gpus_per_node=0, gres="", mem_mb=0, runtime=5)
            executor.update_parameters(**sbatch_options("vclr-doctor", folder, small))
            job_id = executor.submit(Probe(str(folder), word)).job_id
            state = _wait(job_id, wait_seconds)
            if not state.has_ended:
                cluster.cancel_job(job_id)
                says = f"a job of {training.nodes} nodes did not end in {wait_seconds:.0f} s ({state.reason})"
                yield Finding(WARNING, "nodes", says, "try again with a longer --wait; the checks above are complete")
                return
        found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("found*.json"))]
        log = folder / f"{job_id}_0_log.out"
        yield from _judge(training, state, found, log, holds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait(job_id: str, seconds: float) -> cluster.JobState:
    end = time.monotonic() + seconds
    while not (state := cluster.job_state(job_id)).has_ended and time.monotonic() < end:
        time.sleep(1.0)
    return state


def _judge(
    training: LauncherConfig, state: cluster.JobState, found: list[dict[str, Any]], log: Path, holds: bool
) -> Iterator[Finding]:
    here = Path.cwd()
    if len(found) < training.nodes:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] if log.exists() else []
        says = f"a job ended as {state.name} and left nothing in {here}{': ' if last else ''}{''.join(last)}"
        fix = f"work in a folder that all nodes share (not /tmp), with an environment that they see ({sys.prefix})"
        yield Finding(ERROR, "shared folder", says, fix)
        return
    hosts = ", ".join(one["host"] for one in found)
    if all(one["shares"] for one in found):
        yield Finding(OK, "shared folder", f"{hosts} see {here}")
    else:
        yield Finding(ERROR, "shared folder", f"not every node sees {here}", "work in a folder that all nodes share")
    if not holds or any(one["locks"] is None for one in found):
        fix = "start one training at a time in a folder; two at once would damage it"
        yield Finding(WARNING, "locks", "the file system has none", fix)
    elif all(one["locks"] for one in found):
        yield Finding(OK, "locks", "the nodes see a lock that is held here")
    else:
        fix = "mount it with locks (flock, not localflock), or start one training at a time in a folder"
        yield Finding(WARNING, "locks", "not every node sees a lock that is held here", fix)
    if all(one["meets"] for one in found):
        yield Finding(OK, "between nodes", "the nodes reach each other")
    else:
        fix = "set GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME to the cluster's network, or train with nodes: 1"
        yield Finding(ERROR, "between nodes", "the nodes do not reach the first one by its name", fix)
    versions = {one["torch"] for one in found}
    if any("cannot" in version for version in versions):
        yield Finding(
            ERROR, "environment", f"torch {versions.pop()}", f"install it where the nodes see it, as in {sys.prefix}"
        )
    else:
        gpus = sorted({name for one in found for name in one["gpus"]})
        yield Finding(OK, "environment", f"torch {', '.join(versions)}{', ' if gpus else ''}{', '.join(gpus)}")
    reached = set(HOSTS).intersection(*(one["reaches"] for one in found))
    if reached == set(HOSTS):
        yield Finding(OK, "network", "the nodes reach the servers of the data")
    else:
        away = ", ".join(host for host in HOSTS if host not in reached)
        fix = "fetch data and weights on this machine (vclr fetch ...) before the workflow"
        yield Finding(WARNING, "network", f"the nodes do not reach {away}", fix)
