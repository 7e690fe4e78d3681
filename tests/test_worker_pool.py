"""A worker pool: each block once and in order, and a process that dies is reported in one line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest

from vclr.errors import UserError
from vclr.worker_pool import WorkerPool


def double(shared: int, start: int, block: Sequence[int]) -> list[int]:
    return [start, *(shared * item for item in block)]


def die(shared: Any, start: int, block: Sequence[int]) -> None:
    os._exit(9)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_blocks_come_in_order(num_workers: int):
    results = list(WorkerPool(num_workers).map_blocks(double, 2, range(25), 3, "doubling"))
    assert results == [[start, *range(2 * start, min(2 * start + 6, 50), 2)] for start in range(0, 25, 3)]
    assert list(WorkerPool(num_workers).map_blocks(double, 2, [], 3, "doubling")) == []


def test_process_that_dies_is_one_line():
    with pytest.raises(UserError, match="a worker process died"):
        list(WorkerPool(2).map_blocks(die, None, range(25), 3, "dying"))
