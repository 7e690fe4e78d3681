"""The processes of one training: who they are, and what they compute together."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from vclr.errors import UsageError, UserError

T = TypeVar("T")


class LostProcessError(UserError):
    """Report that another process of the training ended, for a reason that is its own to tell."""


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
        number, num_devices = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if number >= num_devices:
            raise UsageError(f"a process for each GPU: there are {num_devices} here, process {number + 1} has none")
        device, backend = torch.device("cuda", number), "nccl"
        torch.cuda.set_device(device)
    distributed.init_process_group(backend, timeout=TIMEOUT)
    if rank():
        logging.getLogger("vclr").setLevel(logging.ERROR)  # the first process says what all have to say
    try:
        yield device
    except RuntimeError as error:
        if not _is_of_connection(error):
            raise
        raise LostProcessError("another process of this training ended") from None
    finally:
        distributed.destroy_process_group()


def _is_of_connection(error: RuntimeError) -> bool:
    """Tell the errors that a process gets when another one is gone."""
    return isinstance(error, distributed.DistError) or "gloo" in str(error).lower() or "peer" in str(error)


def agree_on_largest(number: int) -> int:
    """Return the largest of the processes' numbers."""
    if world_size() == 1:
        return number
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    largest = torch.tensor(number, device=device)
    distributed.all_reduce(largest, distributed.ReduceOp.MAX)
    return int(largest)


def wait_for_all() -> None:
    """Return when every process has come here."""
    agree_on_largest(0)


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
        UserError: on the first process, if it raises one; the others exit with its code, without a word.
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
        raise outcome[0] if rank() == 0 else SystemExit(outcome[0].exit_code)
    return outcome[0]  # type: ignore[no-any-return]


def gather_on_first_process(value: T) -> list[T]:
    """Return every process's value, in their order, on the first one; nothing on the others."""
    if world_size() == 1:
        return [value]
    values: list[Any] | None = [None] * world_size() if rank() == 0 else None
    distributed.gather_object(value, values)
    return values or []


def sum_on_hosts(values: Sequence[float]) -> list[float]:
    """Return the sums of numbers of the hosts over all processes; no device waits for it."""
    if world_size() == 1:
        return list(values)
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    return sum_over_processes(torch.tensor(values, dtype=torch.float64, device=device)).tolist()  # type: ignore[no-any-return]
