"""Shards: blocks that share out everything once, and parts that are all there."""

from __future__ import annotations

from pathlib import Path

import pytest

from vclr.errors import UsageError, UserError
from vclr.shards import WHOLE, Shard, order_parts, parse_shard


@pytest.mark.parametrize("num_items", [0, 1, 5, 16, 100])
@pytest.mark.parametrize("count", [1, 2, 3, 16, 40])
def test_blocks_are_contiguous_even_and_hold_everything_once(num_items: int, count: int):
    blocks = [Shard(number, count).of(range(num_items)) for number in range(1, count + 1)]
    assert [item for block in blocks for item in block] == list(range(num_items))
    assert max(map(len, blocks)) - min(map(len, blocks)) <= 1
    assert WHOLE.of(range(num_items)) == range(num_items)


def test_what_is_written_can_be_read():
    assert parse_shard(str(Shard(3, 16))) == Shard(3, 16)


@pytest.mark.parametrize(
    "text", ["", "3", "0/4", "5/4", "1/0", "-1/4", "1/4/2", "1.0/4", " 1/4", "a/b", "9" * 5000 + "/1"]
)
def test_anything_else_is_misuse(text: str):
    with pytest.raises(UsageError, match=r"--shard .*must be K/N, with K from 1 to N"):
        parse_shard(text)


def test_parts_are_put_in_order():
    parts = [(Path("b"), "2/3"), (Path("c"), "3/3"), (Path("a"), "1/3")]
    assert order_parts(parts) == [Path("a"), Path("b"), Path("c")]


@pytest.mark.parametrize(
    ("shards", "message"),
    [
        (["1/2", None], "part1: was not written by a shard"),
        (["1/2", "2/3"], "part1: is shard 2/3, but others are of 2"),
        (["2/2", "2/2"], "part1: is shard 2/2, and so is part0"),
        (["4/4", "2/4", "1/4"], "part2: is shard 1/4; shard 3 is missing"),
    ],
)
def test_parts_that_do_not_make_a_whole_are_named(shards: list[str | None], message: str):
    with pytest.raises(UserError, match=message):
        order_parts([(Path(f"part{number}"), shard) for number, shard in enumerate(shards)])
