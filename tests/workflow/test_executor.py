"""What we need otherwise of the SLURM executor: it submits what it is given, however much more is ready."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from workflow import executor

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="needs Python 3.11")


@pytest.fixture(autouse=True)
def _patched() -> Iterator[None]:
    import snakemake_executor_plugin_slurm as plugin

    before = plugin.pending_jobs_for_rule
    executor.submit_what_is_ready()
    yield
    plugin.pending_jobs_for_rule = before


@pytest.mark.parametrize(("given", "still_ready"), [(16, 0), (100, 156), (1, 15), (1, 0)])
def test_what_is_given_is_submitted_at_once(given: int, still_ready: int):
    from snakemake_executor_plugin_slurm import Executor

    jobs = [
        SimpleNamespace(is_group=lambda: False, rule=SimpleNamespace(name="views_shard"))
        for _ in range(given + still_ready)
    ]
    submissions: list[list[Any]] = []
    fake = SimpleNamespace(
        array_jobs={"views_shard"},
        logger=logging.getLogger("executor"),
        max_array_size=1000,
        workflow=SimpleNamespace(dag=SimpleNamespace(ready_jobs=jobs[given:])),
        _main_event_loop=None,
        _submit_job=lambda job: submissions.append([job]),
        _submit_array_jobs=submissions.append,
    )
    Executor.run_jobs(fake, jobs[:given])
    assert submissions == [jobs[:given]]
