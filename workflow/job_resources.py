"""Resources that jobs request: those of the rule `train` as settings of `vclr launch`, and GPUs of evaluations."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import cache
from typing import Any

from vclr.launch import profile
from vclr.launch.cluster import ClusterError, count_gpus


def launcher_overrides(threads: int, resources: Mapping[str, Any]) -> str:
    """Return the resources of the rule `train` as settings of `vclr launch`, as words of a shell command.

    If they do not name the CPUs per process, these are the threads of the rule.
    """
    own = {"cpus_per_task": threads} if resources.get("cpus_per_task") is None else {}
    return shlex.join(profile.launcher_overrides({**dict(resources.items()), **own}))


def evaluation_gpus(workflow: Any) -> int:
    """Return how many GPUs an evaluation requests: one, if the partition of the profile has any of the type."""
    return min(1, _count_gpus(_of_every_job(workflow, "slurm_partition"), _of_every_job(workflow, "gpu_type")))


def evaluation_gpu_type(workflow: Any) -> str:
    """Return the type of GPU that the profile names; "" if it names none, or if evaluations request no GPU."""
    return _of_every_job(workflow, "gpu_type") if evaluation_gpus(workflow) else ""


def _of_every_job(workflow: Any, resource: str) -> str:
    """Return a resource among the default-resources of the profile, to which a rule has no access."""
    # Snakemake 7, which Python 3.10 has, keeps them elsewhere; it submits nothing to a cluster.
    resources = getattr(getattr(workflow, "resource_settings", None), "default_resources", None) or {}
    given = resources.get(resource)
    return str(profile.read_value(getattr(given, "raw", given)) or "")


@cache
def _count_gpus(partition: str, gpu_type: str) -> int:
    try:
        return count_gpus(partition, gpu_type)
    except ClusterError:
        return 0
