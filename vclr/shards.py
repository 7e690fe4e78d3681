"""Shards: equal parts of a long work on many images, for several jobs side by side."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vclr.errors import UsageError, UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Block `number`, from 1, of `count` contiguous blocks of all items; written `number/count`."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """Return the items of this block; if there are more blocks than items, some blocks are empty."""
        start, stop = (place * len(items) // self.count for place in (self.number - 1, self.number))
        return items[start:stop]


WHOLE = Shard(1, 1)


def parse_shard(text: str) -> Shard:
    """Read `K/N`.

    Raises:
        UsageError: the text has another form, or K is not from 1 to N.
    """
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    shard = Shard(int(match[1]), int(match[2])) if match else None
    if shard is None or not 1 <= shard.number <= shard.count:
        raise UsageError(f"--shard {text}: must be K/N, with K from 1 to N")
    return shard


def order_parts(parts: Iterable[tuple[Path, Any]]) -> list[Path]:
    """Sort the outputs of shards, which may be named in any order.

    Args:
        parts: each file or folder, and the shard that it says it is (the text of a `Shard`).

    Raises:
        UserError: one is not a shard's, belongs to another number of shards, is named twice, or is missing.
    """
    found: dict[int, Path] = {}
    count = 0
    for path, text in parts:
        try:
            shard = parse_shard(str(text))
        except UsageError:
            raise UserError(f"{path}: was not written by a shard") from None
        count = count or shard.count
        if shard.count != count:
            raise UserError(f"{path}: is shard {shard}, but others are of {count}")
        if shard.number in found:
            raise UserError(f"{path}: is shard {shard}, and so is {found[shard.number]}")
        found[shard.number] = path
    for number in range(1, count + 1):
        if number not in found:
            raise UserError(f"{found[min(found)]}: is shard {Shard(min(found), count)}; shard {number} is missing")
    return [found[number] for number in sorted(found)]
