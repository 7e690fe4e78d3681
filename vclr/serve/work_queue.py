"""The queue before the detector: one photo is worked on at a time, a limited number waits, others are refused."""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from vclr.host_memory import return_freed_memory
from vclr.serve.places import Places

IDLE_SECONDS = 0.5  # without a job, after which freed memory goes back to the system

T = TypeVar("T")


class WorkQueue:
    """Jobs that one thread does, in the order of their submission.

    A detector's layers are not made for two photos at once, and memory would grow with the number of visitors.
    The methods are called from the thread of an event loop.

    Args:
        max_waiting: maximum number of jobs that wait, beside the one that is worked on.

    Attributes:
        places: whoever calls `do` holds one of them.
    """

    def __init__(self, max_waiting: int) -> None:
        self.places = Places(max_waiting + 1, "The queue is full; please try again in a moment.")
        self._names: dict[Future[Any], str] = {}  # of the jobs that are not done, in order
        # The photos are here and not in the queue, in which the jobs of callers who are gone stay until their turn.
        self._jobs: dict[Future[Any], Callable[[], Any]] = {}
        self._turns: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
        # A daemon: the command may end while a large photo is worked on.
        threading.Thread(target=self._work, name="detector", daemon=True).start()

    async def do(self, name: str, job: Callable[[], T]) -> T:
        """Return what a job returns, or raise what it raises. If the caller is cancelled, a waiting job is dropped.

        Args:
            name: what `count_before` calls the job.
            job: is called in the thread.
        """
        future: Future[T] = Future()
        self._names[future], self._jobs[future] = name, job
        self._turns.put(future)
        del job
        try:
            return await asyncio.wrap_future(future)
        finally:
            future.cancel()
            self._jobs.pop(future, None)
            del self._names[future]

    def count_before(self, name: str) -> int | None:
        """Return how many jobs are to be done before one, with the one in work; None if there is no such job."""
        return next((before for before, other in enumerate(self._names.values()) if other == name), None)

    def _work(self) -> None:
        has_worked = False
        while True:
            try:
                self._do(self._turns.get(timeout=IDLE_SECONDS if has_worked else None))
                has_worked = True
            except queue.Empty:
                gc.collect()
                return_freed_memory()
                has_worked = False

    def _do(self, future: Future[Any]) -> None:
        """Do a job unless it was cancelled. Nothing refers to its photo after this call."""
        job = self._jobs.pop(future, None)
        if job is None or not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(job())
        except BaseException as error:
            future.set_exception(error)
