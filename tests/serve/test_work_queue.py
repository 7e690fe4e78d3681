"""One job at a time, in order; jobs of callers who are gone are dropped."""

from __future__ import annotations

import asyncio
import functools
import threading
import weakref
from typing import Any

import pytest

from vclr.serve.work_queue import WorkQueue


class Gate:
    """A job that takes until it is told to end."""

    def __init__(self) -> None:
        self.has_begun, self.may_end = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.has_begun.set()
        assert self.may_end.wait(20)
        return "done"


async def begin(jobs: WorkQueue, name: str, job: Any) -> asyncio.Task[Any]:
    task = asyncio.ensure_future(jobs.do(name, job))
    await asyncio.sleep(0)
    return task


def test_jobs_are_done_one_after_another_in_order():
    async def main() -> None:
        jobs, gate, done = WorkQueue(9), Gate(), list[int]()
        first = await begin(jobs, "first", gate)
        others = [await begin(jobs, str(number), lambda number=number: done.append(number)) for number in range(5)]
        await asyncio.to_thread(gate.has_begun.wait)
        assert [jobs.count_before(name) for name in ("first", "0", "4", "no such job")] == [0, 1, 5, None]
        assert not done
        gate.may_end.set()
        assert await first == "done"
        await asyncio.gather(*others)
        assert done == [*range(5)]
        assert jobs.count_before("4") is None

    asyncio.run(main())


def test_job_of_a_caller_who_is_gone_is_dropped():
    async def main() -> None:
        jobs, gate, done = WorkQueue(9), Gate(), list[str]()
        first = await begin(jobs, "first", gate)
        gone_job = functools.partial(done.append, "gone")
        photo_of_gone = weakref.ref(gone_job)
        gone = await begin(jobs, "gone", gone_job)
        del gone_job
        last = await begin(jobs, "last", lambda: done.append("last"))
        gone.cancel()
        await asyncio.wait([gone])
        assert jobs.count_before("gone") is None and jobs.count_before("last") == 1
        assert photo_of_gone() is None, "its photo does not wait for its turn"
        gate.may_end.set()
        await asyncio.gather(first, last)
        assert done == ["last"]

    asyncio.run(main())


def test_job_that_fails_does_not_end_the_queue():
    async def main() -> None:
        jobs = WorkQueue(0)
        with pytest.raises(ZeroDivisionError):
            await jobs.do("bad", lambda: 1 / 0)
        assert await jobs.do("good", lambda: 7) == 7

    asyncio.run(main())
