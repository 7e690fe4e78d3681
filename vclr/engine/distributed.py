"""The processes of one training: their places, and what they compute together."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

from vclr.device import choose_device, resolve_device
from vclr.engine.ending import describe, name_collective, telling_others
from vclr.engine.launched import Place, read_place
from vclr.engine.rendezvous import meet
from vclr.errors import UsageError

T = TypeVar("T")

STEP_TIMEOUT = timedelta(minutes=10)  # for collectives within a step, on the devices
# Others wait while the first process checks and hashes the data, or while the slowest one finishes its part of an
# evaluation. If a process dies, its connections close, which shows at once.
WAIT_TIMEOUT = timedelta(hours=24)

# Flags and long waits go between the hosts, so no device is waited for or busy waiting.
_hosts: distributed.ProcessGroup | None = None


def rank() -> int:
    """Return the number of this process, 0 if it is alone."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


@contextmanager
def joined_processes(device: torch.device | str) -> Iterator[torch.device]:
    """Join the processes that a launcher (torchrun, `vclr train --num-gpus`) started; without one, stay alone.

    If the block fails, the other processes are told why, and the caller must end this one with `leaving_at_once`: the
    process group is not taken down, because that could wait for the others forever.

    Yields:
        The device of this process: its own GPU of the node if `device` (`train.device`) is CUDA.

    Raises:
        UsageError: there is no such device, or too few GPUs for the processes.
        UserError: another process did not join.
    """
    global _hosts
    place = read_place()
    if place is None:
        yield choose_device(str(device))
        return
    store = meet(place)
    with telling_others(place):
        own = _choose_own_device(str(device), place)  # here, so that the others are told of a process without a GPU
        try:
            distributed.init_process_group(
                "nccl" if own.type == "cuda" else "gloo",
                store=store,
                rank=place.rank,
                world_size=place.world_size,
                timeout=STEP_TIMEOUT,
            )
        except distributed.DistError as error:
            raise name_collective(error) from None
        _hosts = distributed.new_group(backend="gloo", timeout=WAIT_TIMEOUT)
        if place.rank:
            logging.getLogger("vclr").setLevel(logging.ERROR)  # the first process speaks for all
        _check_own_device(own, place)
        yield own
    distributed.destroy_process_group()


def adopt_processes() -> None:
    """Work together with processes that another program has joined; every one of them must call this."""
    global _hosts
    _hosts = distributed.new_group(backend="gloo", timeout=WAIT_TIMEOUT)


def _choose_own_device(name: str, place: Place) -> torch.device:
    """Return the device of one of several processes, before anything uses another GPU."""
    name = resolve_device(name)
    if not name.startswith("cuda") or not torch.cuda.is_available():
        return choose_device(name)
    num_devices = torch.cuda.device_count()
    if place.local_rank >= num_devices > 1:
        raise UsageError(
            f"each process needs its own GPU: this machine has {num_devices}, process {place.local_rank + 1} has none"
        )
    # If each process sees only one GPU (SLURM's --gpus-per-task), that is its own.
    number = place.local_rank if num_devices > 1 else 0
    torch.cuda.set_device(number)
    return choose_device(f"cuda:{number}")


def _check_own_device(device: torch.device, place: Place) -> None:
    """Raise an error in all processes if two of them share a GPU."""
    is_doubtful = device.type == "cuda" and torch.cuda.device_count() < place.local_world_size
    own = (platform.node(), str(torch.cuda.get_device_properties(device).uuid)) if is_doubtful else None
    devices: list[tuple[str, str] | None] = [None] * place.world_size
    distributed.all_gather_object(devices, own, group=_hosts)
    for other, first in enumerate(map(devices.index, devices)):
        if first != other and (used := devices[other]):
            raise UsageError(f"each process needs its own GPU: {first} and {other} on {used[0]} have the same")


def agree_on_largest(number: int) -> int:
    """Return the largest of the processes' numbers."""
    return start_to_agree(number)()


def start_to_agree(number: int) -> Callable[[], int]:
    """Tell the other processes a number; the returned function waits for theirs and returns the largest."""
    if world_size() == 1:
        return lambda: number
    largest = torch.tensor(number)
    work = distributed.all_reduce(largest, distributed.ReduceOp.MAX, group=_hosts, async_op=True)

    def wait() -> int:
        work.wait()
        return int(largest)

    return wait


def wait_for_all() -> None:
    """Wait until every process has called this."""
    agree_on_largest(0)


def sum_over_processes(values: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes, on its device; the tensor itself if this one is alone."""
    if world_size() == 1:
        return values
    total = values.clone()
    distributed.all_reduce(total)
    return total


def sum_on_hosts(values: Sequence[float]) -> list[float]:
    """Return the sums of numbers over all processes, in double precision and without involving a device."""
    if world_size() == 1:
        return list(values)
    totals = torch.tensor(values, dtype=torch.float64)
    distributed.all_reduce(totals, group=_hosts)
    return totals.tolist()


@torch.no_grad()
def gather_groups(own: dict[int, Tensor]) -> list[Tensor]:
    """Return the rows that the other processes have of each of this process's groups, in the order of `own`.

    Args:
        own: rows (n, d) by the number of their group; n may differ between groups and processes, and may be 0.
    """
    if world_size() == 1:
        return [rows[:0] for rows in own.values()]
    lengths: list[dict[int, int]] = [{}] * world_size()
    distributed.all_gather_object(lengths, {number: len(rows) for number, rows in own.items()}, group=_hosts)
    joined = torch.cat([*own.values()])
    padded = joined.new_zeros(max(sum(of_groups.values()) for of_groups in lengths), joined.shape[1])
    padded[: len(joined)] = joined
    of_processes = [torch.empty_like(padded) for _ in lengths]
    distributed.all_gather(of_processes, padded)
    others = {number: [rows[:0]] for number, rows in own.items()}
    for process, (of_groups, rows) in enumerate(zip(lengths, of_processes, strict=True)):
        parts = rows[: sum(of_groups.values())].split([*of_groups.values()])
        for number, part in zip(of_groups, parts, strict=True):
            if process != rank() and number in others:
                others[number].append(part)
    return [torch.cat(parts) for parts in others.values()]


def on_first_process(compute: Callable[[], T]) -> T:
    """Let the first process compute something, and return the result on all processes.

    Raises:
        Exception: on the first process, whatever was raised there; the others exit silently with its code.
    """
    if world_size() == 1:
        return compute()
    outcome: list[Any] = [None, None]
    failure: Exception | None = None
    if rank() == 0:
        try:
            outcome[0] = compute()
        except Exception as error:
            failure, outcome[1] = error, describe(error)[1]
    distributed.broadcast_object_list(outcome, group=_hosts)
    if failure is not None:
        raise failure
    if outcome[1] is not None:
        raise SystemExit(outcome[1])
    return outcome[0]  # type: ignore[no-any-return]


def gather_on_first_process(value: T) -> list[T]:
    """Return the values of all processes in order on the first one, and an empty list on the others."""
    if world_size() == 1:
        return [value]
    values: list[Any] | None = [None] * world_size() if rank() == 0 else None
    distributed.gather_object(value, values, group=_hosts)
    return values or []
