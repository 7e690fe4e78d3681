"""A pool of worker processes that work through a list block by block; in this process if there is little to do."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

from vclr.errors import UserError
from vclr.processes import end_with_parent
from vclr.progress import Progress

T = TypeVar("T")
R = TypeVar("R")

MIN_BLOCKS = 8  # for fewer blocks, starting processes takes longer than the work

_shared: Any = None  # in a worker: what every block needs


@dataclass(frozen=True)
class WorkerPool:
    """The number of worker processes, and whether to hide the progress."""

    num_workers: int = 1
    quiet: bool = True

    def map_blocks(
        self,
        function: Callable[[Any, int, Sequence[T]], R],
        shared: Any,
        items: Sequence[T],
        block_size: int,
        description: str,
    ) -> Iterator[R]:
        """Yield `function(shared, start, items[start : start + block_size])` for each block, in order.

        Raises:
            UserError: a worker process died.
        """
        starts = range(0, len(items), block_size)
        progress = Progress(description, len(items), quiet=self.quiet)
        if self.num_workers > 1 and len(starts) >= MIN_BLOCKS:
            results = self._in_processes(function, shared, items, block_size)
        else:
            results = (function(shared, start, items[start : start + block_size]) for start in starts)
        try:
            for start, result in zip(starts, results, strict=True):
                yield result
                progress.advance(min(block_size, len(items) - start))
        finally:
            progress.close()

    def _in_processes(
        self, function: Callable[[Any, int, Sequence[T]], R], shared: Any, items: Sequence[T], block_size: int
    ) -> Iterator[R]:
        # Spawned, because forking is not safe in a process with threads, and the progress bar has one.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(self.num_workers, context, initializer=_start_worker, initargs=(shared,))
        waiting: deque[Future[R]] = deque()
        try:
            for start in range(0, len(items), block_size):
                if len(waiting) == 2 * self.num_workers:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(_run_block, function, start, items[start : start + block_size]))
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise UserError("a worker process died (out of memory?)") from None
        finally:
            pool.shutdown(cancel_futures=True)


def _start_worker(shared: Any) -> None:
    global _shared
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    _shared = shared


def _run_block(function: Callable[[Any, int, Sequence[T]], R], start: int, block: Sequence[T]) -> R:
    return function(_shared, start, block)
