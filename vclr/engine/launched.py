"""Read what a launcher (torchrun, `vclr train --num-gpus`, `vclr launch`) tells each process in its environment."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

from vclr.errors import UsageError

VARIABLES = ("MASTER_ADDR", "RANK", "MASTER_PORT")  # a launcher sets these beside WORLD_SIZE


@dataclass(frozen=True)
class Place:
    """The place of this process among those of one training.

    Attributes:
        rank: its number among all processes, from 0.
        world_size: the number of all processes.
        local_rank: its number among the processes of its machine.
        local_world_size: the number of processes on its machine; of all processes if the launcher does not say.
    """

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int


def read_place() -> Place | None:
    """Return the place that a launcher gave this process; None if it is alone.

    Raises:
        UsageError: the environment names several processes, but not everything needed to join them.
    """
    size = os.environ.get("WORLD_SIZE") or "1"
    if size == "1":
        return None
    if absent := [name for name in VARIABLES if not os.environ.get(name)]:
        raise UsageError(
            f"WORLD_SIZE is {size} in the environment, but {absent[0]} is not set: a launcher such as torchrun sets "
            "both; unset WORLD_SIZE to train alone"
        )
    world_size = _number("WORLD_SIZE", 1)
    _number("MASTER_PORT", 1, 65535)
    rank, local_rank = _number("RANK", 0, world_size - 1), _number("LOCAL_RANK", 0, world_size - 1, "0")
    return Place(rank, world_size, local_rank, _number("LOCAL_WORLD_SIZE", 1, world_size, size))


def _number(name: str, low: int, high: int = sys.maxsize, default: str = "") -> int:
    text = os.environ.get(name, default)
    if not (text.isdecimal() and low <= int(text) <= high):
        bounds = f"from {low} to {high}" if high < sys.maxsize else f"above {low - 1}"
        raise UsageError(
            f"{name}={text} is in the environment, but is not a number {bounds}: unset it, or start with torchrun"
        )
    return int(text)
