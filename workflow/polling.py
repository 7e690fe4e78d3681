"""How soon Snakemake notices that a job of the cluster has ended."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import Any

PLUGIN = "snakemake_executor_plugin_slurm"


def keep_interval() -> None:
    """Have the SLURM executor look at its jobs every --seconds-between-status-checks.

    By itself it does not keep to that: it waits ten seconds longer each time that it finds no job ended, up to three
    minutes.
    """
    if find_spec(PLUGIN) is None:
        return
    from snakemake_executor_plugin_slurm import Executor

    async def sleep(executor: Any) -> None:
        await asyncio.sleep(executor.workflow.remote_execution_settings.seconds_between_status_checks)

    Executor.sleep = sleep
