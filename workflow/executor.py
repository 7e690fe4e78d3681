"""Corrections of Snakemake's SLURM executor (2.8), where it does not do what a user expects."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from typing import Any

PLUGIN = "snakemake_executor_plugin_slurm"


def keep_interval() -> None:
    """Have the executor look at its jobs every --seconds-between-status-checks.

    Without this it waits ten seconds longer each time that no job has ended, up to three minutes.
    """
    if find_spec(PLUGIN) is None:
        return
    from snakemake_executor_plugin_slurm import Executor

    async def sleep(executor: Any) -> None:
        await asyncio.sleep(executor.workflow.remote_execution_settings.seconds_between_status_checks)

    Executor.sleep = sleep


def submit_what_is_ready() -> None:
    """Have the executor submit the jobs of `slurm-array-jobs` at once, as one array.

    Without this it defers them while more jobs of the rule are ready than it was given, but it is not given them again:
    if the others wait because of the limit `jobs`, none is ever submitted.
    """
    if find_spec(PLUGIN) is None:
        return
    import snakemake_executor_plugin_slurm as plugin

    plugin.pending_jobs_for_rule = lambda dag, rule: 0
