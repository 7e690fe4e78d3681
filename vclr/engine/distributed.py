"""The processes of one training: who they are, and what they compute together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from vclr.errors import UserError

T = TypeVar("T")

# Others wait while the first process evaluates. A process that dies ends its connections, which shows at once.
TIMEOUT = timedelta(hours=24)


def rank() -> int:
    """Return the number of this process, 0 where it is alone."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


@contextmanager
def joined_processes(device: torch.device) -> Iterator[torch.device]:
    """Join the processes that a launcher (torchrun, `vclr train --num-gpus`) started; alone without one.

    Yields:
        The device of this process: its own GPU of the node where `device` is CUDA.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    backend = "gloo"
    if device.type == "cuda":
        device, backend = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))), "nccl"
        torch.cuda.set_device(device)
    distributed.init_process_group(backend, timeout=TIMEOUT)
    try:
        yield device
    finally:
        distributed.destroy_process_group()


def sum_over_processes(values: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes; the tensor itself where this one is alone."""
    if world_size() == 1:
        return values
    total = values.clone()
    distributed.all_reduce(total)
    return total


def on_first_process(compute: Callable[[], T]) -> T:
    """Let the first process compute something and tell the others.

    Raises:
        UserError: on every process, where the first one raises it.
    """
    if world_size() == 1:
        return compute()
    outcome: list[Any] = [None]
    if rank() == 0:
        try:
            outcome = [compute()]
        except UserError as error:
            outcome = [error]
    distributed.broadcast_object_list(outcome)
    if isinstance(outcome[0], UserError):
        raise outcome[0]
    return outcome[0]  # type: ignore[no-any-return]


def gather_on_first_process(value: T) -> list[T]:
    """Return every process's value, in their order, on the first one; nothing on the others."""
    if world_size() == 1:
        return [value]
    values: list[Any] | None = [None] * world_size() if rank() == 0 else None
    distributed.gather_object(value, values)
    return values or []
