"""What the profile of a cluster grants the jobs of a rule, in the words of `vclr launch` and of Snakemake."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import cache
from typing import Any

from vclr.launch import profile
from vclr.launch.cluster import ClusterError, count_gpus


def launcher_overrides(threads: int, resources: Mapping[str, Any]) -> str:
    """Return the resources of the rule `train` as settings of `vclr launch`, words of a shell command.

    Where they say nothing of CPUs, the threads of the rule are those of each process.
    """
    own = {"cpus_per_task": threads} if resources.get("cpus_per_task") is None else {}
    return shlex.join(profile.launcher_overrides({**dict(resources.items()), **own}))


def evaluation_gpus(workflow: Any) -> int:
    """Return how many GPUs a job asks for that evaluates: one, where the profile's partition has any of its type."""
    return min(1, _count_gpus(_of_every_job(workflow, "slurm_partition"), _of_every_job(workflow, "gpu_type")))


def evaluation_gpu_type(workflow: Any) -> str:
    """Return the type of this GPU that the profile asks for; nothing if it names none, or the job asks for no GPU."""
    return _of_every_job(workflow, "gpu_type") if evaluation_gpus(workflow) else ""


def _of_every_job(workflow: Any, resource: str) -> str:
    """Return what the profile says of a resource among its default-resources, which a rule cannot ask for by itself."""
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
